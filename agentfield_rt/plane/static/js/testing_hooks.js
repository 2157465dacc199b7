// What browser tests wait on, as plain data that cannot be written.
//
// window.agentfield.state    where the call stands (model/call_model.js lists the fields)
// window.agentfield.turns    turns with executions and utterances (model/conversation.js lists the fields)
// window.agentfield.records  journal records in order, as the server sent them (the newest 20 000)
// window.agentfieldRecord    only with ?record=1: `await agentfieldRecord.dump()` gives both sides of the
//                            newest call (call/recorder.js says in which shape)

/**
 * @param {import("./model/call_model.js").CallModel} model
 * @param {?import("./call/recorder.js").Recorder} recorder
 */
export function exposeHooks(model, recorder) {
  const hooks = {
    get state() {
      return structuredClone(model.state);
    },
    get turns() {
      return structuredClone(model.conversation.turns);
    },
    get records() {
      return model.rows.map(({ record }) => record); // frozen when they came in
    },
  };
  Object.defineProperty(window, "agentfield", { value: Object.freeze(hooks) });
  if (!recorder) return;
  const recording = Object.freeze({ dump: () => recorder.dump() });
  Object.defineProperty(window, "agentfieldRecord", { value: recording });
}
