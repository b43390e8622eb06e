// Proves the signature check on the real Mac executables in dist/ (bun run build --target darwin-arm64, darwin-x64): a
// byte flipped anywhere must be found, and building again gives the same bytes. Minutes on a page-by-page sweep, so it
// samples pages; test/scripts/codesign.test.ts flips every page of a small one.
import { join } from "node:path";
import { verifySignature } from "./codesign-verify.ts";

const identifier = "app.opta.cli";
const samples = 40;

for (const target of ["darwin-arm64", "darwin-x64"]) {
  const path = join(import.meta.dir, "../dist", `opta-${target}`);
  const file = await Bun.file(path).bytes();
  const problems = verifySignature(file, identifier);
  if (problems.length > 0) fail(`${path}: ${problems.join("; ")}`);
  for (let sample = 0; sample < samples; sample += 1) {
    const at = Math.floor((file.length / samples) * sample) + (sample % 7);
    file[at] = (file[at] ?? 0) ^ 1;
    if (verifySignature(file, identifier).length === 0)
      fail(`${path}: byte ${at} may change unseen`);
    file[at] = (file[at] ?? 0) ^ 1;
  }
  console.log(`${target}: signature holds, ${samples} flipped bytes found`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
