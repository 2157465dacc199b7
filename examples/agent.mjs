// An agent in JavaScript, from docs/reference/channel.md alone: `echo` for anybody who calls it, and a session that says
// back what it hears. Without dependencies: Node 22, or Node 20 with --experimental-websocket.
//
//   AGENTFIELD_SERVER=http://localhost:8080 node --experimental-websocket examples/agent.mjs
//
// It leaves out what an agent with more to do would have: cancelling its own work, and a bound for what it keeps.

import { randomUUID } from "node:crypto";

const NODE = "js";
const server = process.env.AGENTFIELD_SERVER ?? "http://localhost:8080";
const key = process.env.AGENTFIELD_API_KEY;

const reasoners = {
  echo: async ({ text }) => ({ spoken_response: `You said: ${text}` }),
};

const sessions = {
  voice: async (session) => {
    for (let turn; (turn = await session.input()); ) {
      const result = await session.call(`${NODE}.echo`, { text: turn.text });
      session.say(result.spoken_response);
    }
  },
};

const registration = {
  id: NODE,
  base_url: `channel://${NODE}`,
  version: "1.0.0",
  reasoners: Object.keys(reasoners).map((id) => ({ id })),
  metadata: {
    custom: { sessions: Object.keys(sessions).map((name) => ({ name, provider: "local", transport: "websocket" })) },
  },
};

// The channel: messages once and in order, over one wire after another.

const instanceId = `inst_${randomUUID()}`; // new with each process
let channelId = null;
let wire = null; // open and welcomed, or null
let sent = 0; // the seq of our last message
let unreceived = []; // [seq, message], until the plane has them
let received = 0; // the plane's last seq that is here
let told = 0; // how much of that the plane knows
let sentAt = 0; // milliseconds since 1970

function post(message) {
  unreceived.push([++sent, message]);
  if (wire) send({ seq: sent, message });
}

function send(frame) {
  told = received;
  sentAt = Date.now();
  wire.send(JSON.stringify({ ...frame, ack: received }));
}

function connect() {
  const url = `${server.replace(/^http/, "ws")}/api/v1/nodes/${NODE}/channel`;
  const socket = new WebSocket(url, key ? { headers: { "X-API-Key": key } } : {});
  let welcome, keepingAlive, lease;
  socket.onopen = () => {
    const hello = { type: "hello", registration, instance_id: instanceId, channel_id: channelId, received };
    socket.send(JSON.stringify({ message: { ...hello, running: [...running, ...unrecorded.keys()] } }));
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (welcome) {
      takeFrame(socket, frame);
    } else {
      welcome = welcomed(frame.message);
      begin(socket, welcome);
      keepingAlive = setInterval(() => {
        if (Date.now() - sentAt >= welcome.keep_alive_s * 1000) send({});
      }, 500);
    }
    clearTimeout(lease); // whoever is silent for so long is gone
    lease = setTimeout(() => socket.close(), welcome.lease_s * 1000);
  };
  let isOver = false; // Node 20 says of a connection that fails only that there was an error, others also that it is closed
  const tryAgain = () => {
    if (isOver) return;
    isOver = true;
    clearInterval(keepingAlive);
    clearTimeout(lease);
    wire = null;
    setTimeout(connect, 100 + Math.random() * 1000);
  };
  socket.onclose = tryAgain;
  socket.onerror = ({ message }) => {
    console.error(`not connected, and tries on: ${message}`);
    tryAgain();
  };
}

function welcomed(message) {
  if (message.type === "welcome") return message;
  console.error(`refused: ${message.error}`);
  process.exit(message.retryable ? 75 : 3);
}

function begin(socket, welcome) {
  wire = socket;
  channelId = welcome.channel_id;
  if (welcome.resumed) {
    unreceived = unreceived.filter(([seq]) => seq > welcome.received);
  } else {
    sent = received = told = 0; // this plane knows nothing of before
    handlers.clear();
    for (const [, reject] of waiting.values()) reject(new Error("another plane, or another instance, goes on"));
    waiting.clear();
    unreceived = [...unrecorded.values()].map((outcome) => [++sent, outcome]);
  }
  for (const [seq, message] of unreceived) send({ seq, message });
  console.log(`agent ${NODE} is connected to ${server}${welcome.resumed ? " again" : ""}`);
}

function takeFrame(socket, { seq = 0, ack = 0, message }) {
  unreceived = unreceived.filter(([number]) => number > ack);
  if (message && seq === received + 1) {
    received = seq;
    take(message);
    setTimeout(() => wire === socket && told < received && send({}), 20);
  }
}

// What the plane asks for.

const running = new Set(); // executions
const unrecorded = new Map(); // outcomes that are not durable yet
const handlers = new Map(); // sessions by handler_id
const waiting = new Map(); // [resolve, reject] by request_id

function take(message) {
  switch (message.type) {
    case "execute":
      return void execute(message);
    case "outcome_recorded":
      return void unrecorded.delete(message.execution_id);
    case "begin_handler":
      return void handle(message);
    case "cancel_handler":
      return void handlers.delete(message.handler_id);
    case "turn_given":
      return answer(message.request_id, message.turn ?? null);
    case "reply":
      return message.failure
        ? answer(message.request_id, undefined, new Error(message.failure.message))
        : answer(message.request_id, message.result ?? null);
  }
}

function answer(requestId, result, error) {
  const [resolve, reject] = waiting.get(requestId) ?? [];
  waiting.delete(requestId);
  if (error) reject?.(error);
  else resolve?.(result);
}

async function execute({ execution_id, name, arguments: given }) {
  if (running.has(execution_id)) return; // sent twice, run once
  if (unrecorded.has(execution_id)) return post(unrecorded.get(execution_id));
  running.add(execution_id);
  const outcome = { type: "outcome", execution_id, status: "succeeded" };
  try {
    outcome.result = await reasoners[name](given);
  } catch (error) {
    Object.assign(outcome, { status: "failed", reason: "handler_error", error: String(error) });
  }
  running.delete(execution_id);
  unrecorded.set(execution_id, outcome);
  post(outcome);
}

async function handle({ handler_id, session_name }) {
  handlers.set(handler_id, true);
  const tell = (message) => handlers.has(handler_id) && post({ handler_id, ...message });
  const ask = (message) =>
    new Promise((resolve, reject) => {
      const request_id = `req_${randomUUID()}`; // unique for ever
      waiting.set(request_id, [resolve, reject]);
      tell({ request_id, ...message });
    });
  let utterances = 0;
  try {
    await sessions[session_name]({
      input: () => ask({ type: "input" }),
      call: (target, given) => ask({ type: "call", target, arguments: given }),
      say: (text) => tell({ type: "say", utterance_id: `${handler_id}.${++utterances}`, text }),
    });
    tell({ type: "handler_ended" });
  } catch (error) {
    tell({ type: "handler_ended", failure: { error: error.constructor.name } });
  }
  handlers.delete(handler_id);
}

connect();
