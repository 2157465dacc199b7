// Opens the microphone and says in our words why that did not work.

import { CallFailure } from "./failures.js";

const CODES = {
  NotAllowedError: "microphone_denied",
  SecurityError: "microphone_denied",
  NotFoundError: "microphone_missing",
  OverconstrainedError: "microphone_missing",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

/**
 * @param {{processed: boolean}} wish whether the browser may clean the sound (echo, noise, level)
 * @returns {Promise<MediaStream>}
 * @throws {CallFailure} `microphone_*`
 */
export async function openMicrophone({ processed }) {
  if (!navigator.mediaDevices) throw new CallFailure("microphone_insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: processed, noiseSuppression: processed, autoGainControl: processed },
    });
  } catch (error) {
    throw new CallFailure(CODES[error.name] ?? "microphone_busy");
  }
}
