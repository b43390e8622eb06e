// Phases of a turn.progress event that surfaces tell apart. A file of its own because surfaces load it on every
// start, and the event schemas cost more than they need.

/** A cloud serves the turn: shown to whoever runs opta, watched or not. */
export const cloudPhase = "cloud";
/** The server trims the conversation: told once a session. */
export const contextPhase = "context";
/** Instructions that were left out: told where a session begins. */
export const preparingPhase = "preparing";

/** What nobody may miss: told on stderr whether or not somebody watches. */
export const toldPhases: ReadonlySet<string> = new Set([cloudPhase, contextPhase, preparingPhase]);
