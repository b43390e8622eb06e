// Operations about what opta does not have yet: keys in a keychain, an account, a browser of its own. Clients ask
// for them at every start and need the shapes (contracts/daemon-v3.md sections 4 and 5).
import * as z from "zod";
import { OptaError } from "../../protocol/error.ts";
import { type ClientOperation, defineClientOperation, noInput } from "./client-operation.ts";

const keyOwners = ["anthropic", "lmx", "gemini", "openai", "opencode-zen"] as const;

const keychainStatus = defineClientOperation({
  id: "keychain.status",
  title: "Keychain status",
  description: "Whether keys of model providers lie in the system's keychain.",
  safety: "read",
  input: noInput,
  async run() {
    const providers = Object.fromEntries(keyOwners.map((name) => [name, { stored: false }]));
    return { providers };
  },
});

const accountStatus = defineClientOperation({
  id: "account.status",
  title: "Account status",
  description: "Whether a user is signed in; opta has no accounts.",
  safety: "read",
  input: noInput,
  async run() {
    return { loggedIn: false, email: null, userId: null };
  },
});

const browserHost = defineClientOperation({
  id: "browser.host",
  title: "Browser host",
  description: "Whether a browser runs that clients can watch.",
  safety: "read",
  input: z.lazy(() => z.object({ action: z.string().default("status") })),
  async run({ action }) {
    if (action !== "status") {
      throw new OptaError("not-found", `browser.host has no action ${action}`);
    }
    return {
      running: false,
      safePorts: [],
      slots: [],
      requiredPortCount: 0,
      maxSessionSlots: 0,
    };
  },
});

export const accountOperations: readonly ClientOperation[] = [
  keychainStatus,
  accountStatus,
  browserHost,
];
