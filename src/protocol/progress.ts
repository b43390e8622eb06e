// Phases of a turn.progress event that surfaces tell apart. A file of its own because surfaces load it on every
// start, and the event schemas cost more than they need.

/** A cloud serves the turn: shown to whoever runs opta, watched or not. */
export const cloudPhase = "cloud";
