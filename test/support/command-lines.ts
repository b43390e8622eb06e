// A seeded generator of bash lines, for finding lines that the command gate reads otherwise than bash does:
// nested substitutions, heredocs, compound commands, quoting, redirections, then mutated bytes. Programs are
// named c0 to c9 and do not exist. There is no slash anywhere, so that no line can leave its directory.

export interface Random {
  /** An integer from 0 to below `limit`. */
  below(limit: number): number;
}

/** mulberry32: the same seed gives the same lines on every machine. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    below(limit) {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
    },
  };
}

type Maker = (random: Random, depth: number) => string;

const pick = <T>(random: Random, items: readonly T[]): T => {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
};
const some = (random: Random, most: number, make: () => string, separator: string): string =>
  Array.from({ length: 1 + random.below(most) }, make).join(separator);

const program: Maker = (random) => `c${random.below(10)}`;
const plain: Maker = (random) =>
  pick(random, [
    "a",
    "b1",
    "-x",
    "--y=z",
    "k=v",
    "HEAD~1",
    "a.b",
    "x:y",
    "+1",
    "@",
    "%1",
    "a^",
    "1",
    "7",
  ]);

const quoted: Maker = (random) =>
  pick(random, [
    "'a b'",
    '"a b"',
    "''",
    '""',
    "'a;b'",
    '"a|b"',
    "'#'",
    `"a'b"`,
    `'a"b'`,
    "a'b'c",
    '"x"y',
    "'&'",
    '"<a"',
  ]);

const odd: Maker = (random) =>
  pick(random, [
    "$v",
    "${v}",
    '"$v"',
    "~",
    "~a",
    "k=~",
    "a=b:~",
    "*",
    "?",
    "[ab]",
    "{a,b}",
    "{1..2}",
    "#a",
    "a#b",
    "!",
    "!a",
    "\\a",
    "a\\ b",
    "$'a\\tb'",
    '$"a"',
    "$((1+2))",
    "${v:-a}",
    "${#v}",
    "\\\n",
    "\\;",
    "'a\nb'",
    "$",
    "a$",
    "\t",
    "é",
    "-",
    "--",
    "{",
    "}",
    "[[",
    "]]",
    "^a",
    "a=(b)",
    "v[0]=1",
    "v+=a",
    "@(a|b)",
    "1<",
    "2>&1",
    ">o1",
    "<<<a",
    "&>o1",
    "{fd}>o2",
    "a=",
    "=a",
  ]);

const substitution: Maker = (random, depth) => {
  const inner = line(random, depth - 1);
  return pick(random, [
    `$(${inner})`,
    `"$(${inner})"`,
    `\`${program(random, 0)} a\``,
    `"\`${program(random, 0)}\`"`,
    `<(${inner})`,
    `>(${inner})`,
    `1<(${inner})`,
    `a<(${inner})`,
    `\${v:-$(${inner})}`,
    `"\${v:=$(${inner})}"`,
    `$(( $(${inner}) + 1 ))`,
    `\${v[$(${inner})]}`,
    `'$(${inner})'`,
    `\\$(${inner})`,
    `$'\\'$(${inner})`,
    `"'$(${inner})'"`,
    `\`c1 \\\`${program(random, 0)}\\\`\``,
    `\${ ${inner}; }`,
    `\${v/$(${inner})/a}`,
    `$[ $(${inner}) ]`,
    `x=$(${inner})`,
    `{a,$(${inner})}`,
    `~$(${inner})`,
    `\${v@P}`,
  ]);
};

const word: Maker = (random, depth) => {
  const kind = random.below(20);
  if (kind < 11) return plain(random, depth);
  if (kind < 15) return quoted(random, depth);
  if (kind < 18 || depth <= 0) return odd(random, depth);
  return substitution(random, depth);
};

const simple: Maker = (random, depth) => {
  const prefix = pick(random, [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "v=a ",
    "v=$(c8) ",
    ">o1 ",
    "! ",
    "time ",
    "command ",
    "'c1'",
  ]);
  const words = some(random, 4, () => word(random, depth), pick(random, [" ", " ", " ", "  "]));
  return `${prefix}${program(random, depth)} ${words}`;
};

/** Only words that the gate may accept, so that enough lines reach the comparison with bash. */
const tame: Maker = (random, depth) => {
  const one = () => (random.below(3) === 0 ? quoted(random, depth) : plain(random, depth));
  return `${program(random, depth)} ${some(random, 4, one, " ")}`;
};

const heredoc: Maker = (random, depth) => {
  const body = pick(random, [
    "text",
    "$(c5 h)",
    "`c6 h`",
    "${v:-$(c7)}",
    "a\n$(c4)",
    "\\$(c3)",
    "'$(c2)'",
  ]);
  const [open, close] = pick(random, [
    ["<<E", "E"],
    ["<<'E'", "E"],
    ["<<-E", "\tE"],
    ['<<"E"', "E"],
    ["<<\\E", "E"],
    ["<<E", " E"],
  ] as const);
  return `${simple(random, depth - 1)} ${open}\n${body}\n${close}\n${simple(random, depth - 1)}`;
};

const compound: Maker = (random, depth) => {
  const inner = () => line(random, depth - 1);
  return pick<() => string>(random, [
    () => `( ${inner()} )`,
    () => `{ ${inner()}; }`,
    () => `if ${inner()}; then ${inner()}; else ${inner()}; fi`,
    () => `if ! { ${inner()}; }; then ${inner()}; fi`,
    () => `for i in ${word(random, depth)}; do ${inner()}; done`,
    () => `while ${inner()}; do ${inner()}; break; done`,
    () => `until ${inner()}; do ${inner()}; break; done`,
    () => `case ${word(random, depth)} in a) ${inner()} ;; *) ${inner()} ;; esac`,
    () => `f1() { ${inner()}; }; f1`,
    () => `function f2 { ${inner()}; }; f2`,
    () => `[[ ${word(random, depth)} == a ]] || ${inner()}`,
    () => `(( 1 + $(${inner()}) ))`,
    () => `coproc ${program(random, depth)} a`,
    () => `time -p ${inner()}`,
    () => `eval '${program(random, depth)} a; ${program(random, depth)}'`,
    () => `for ((i=0;i<1;i++)); do ${inner()}; done`,
  ])();
};

const line: Maker = (random, depth) => {
  if (depth <= 0) return simple(random, 0);
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return simple(random, depth);
    case 4:
    case 5: {
      const operator = pick(random, [
        " && ",
        " || ",
        "; ",
        " | ",
        " |& ",
        " & ",
        "\n",
        ";",
        "|",
        "&",
      ]);
      return some(random, 3, () => line(random, depth - 1), operator);
    }
    case 6:
      return heredoc(random, depth);
    default:
      return compound(random, depth);
  }
};

const bytes = [..." \t\n;&|<>()$`\\\"'{}[]*?~#!=%^@+-:,._ac01\r\u0001é"];

function mutate(random: Random, text: string): string {
  const characters = [...text];
  for (let count = 1 + random.below(3); count > 0; count -= 1) {
    const at = random.below(characters.length + 1);
    const kind = random.below(4);
    if (kind === 0) characters.splice(at, 1);
    else if (kind === 1) characters.splice(at, 1, pick(random, bytes));
    else if (kind === 2) characters.splice(at, 0, pick(random, bytes));
    else characters.splice(at, 0, ...characters.slice(at, at + 1 + random.below(4)));
  }
  return characters.join("");
}

/** One line: tame ones, plain grammar, and either with mutated bytes. */
export function createLine(random: Random): string {
  const text = random.below(2) === 0 ? tame(random, 2) : line(random, 3);
  return random.below(2) === 0 ? mutate(random, text) : text;
}
