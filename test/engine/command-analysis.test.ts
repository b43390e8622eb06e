import { describe, expect, test } from "bun:test";
import { analyseCommand } from "../../src/engine/command-analysis.ts";
import { fuzzAgainstBash } from "../support/bash-oracle.ts";

/** Lines that are one plain command, with the words bash passes. */
const plain: readonly (readonly [line: string, ...argv: string[]])[] = [
  ["ls", "ls"],
  ["  ls   -la  ", "ls", "-la"],
  ["git status", "git", "status"],
  ["git diff HEAD~1 HEAD^", "git", "diff", "HEAD~1", "HEAD^"],
  ["git log --format=%H -n 5", "git", "log", "--format=%H", "-n", "5"],
  ["git show main:src/a.ts", "git", "show", "main:src/a.ts"],
  ["npm run test:unit -- --watch=false", "npm", "run", "test:unit", "--", "--watch=false"],
  ["bun test test/a.test.ts", "bun", "test", "test/a.test.ts"],
  ["npm i @scope/pkg@1.2.3", "npm", "i", "@scope/pkg@1.2.3"],
  ["make -j4 CC=clang", "make", "-j4", "CC=clang"],
  ["./gradlew build", "./gradlew", "build"],
  ["/usr/bin/git status", "/usr/bin/git", "status"],
  ["echo 'a b'", "echo", "a b"],
  ['echo "a b"', "echo", "a b"],
  ["echo ''", "echo", ""],
  ['echo ""', "echo", ""],
  ["echo a'b'c\"d\"e", "echo", "abcde"],
  ["echo 'a;b|c&d'", "echo", "a;b|c&d"],
  ["echo 'a > b < c'", "echo", "a > b < c"],
  ["echo '*' '?' '[a]' '{a,b}' '~' '#'", "echo", "*", "?", "[a]", "{a,b}", "~", "#"],
  ['echo "(a)" "it\'s"', "echo", "(a)", "it's"],
  ["grep -rn 'class Foo' src", "grep", "-rn", "class Foo", "src"],
  ["'git' status", "git", "status"],
  ["g'i't status", "git", "status"],
  ["date +%s", "date", "+%s"],
  ["docker run -e A=b image", "docker", "run", "-e", "A=b", "image"],
  ["cargo test --package=a,b", "cargo", "test", "--package=a,b"],
  ["echo if then", "echo", "if", "then"],
  ["1", "1"],
];

/** Lines that are more than one plain command, or whose words bash decides. */
const notPlain: readonly string[] = [
  "",
  " ",
  "\t",
  "ls\n",
  "ls\t-l",
  "ls\r",
  "ls\0",
  "ls é",
  "ls \u00a0x",
  "ls \u2028x",
  "ls \x7f",
  "a;b",
  "a ; b",
  "a && b",
  "a || b",
  "a | b",
  "a |& b",
  "a & b",
  "a &",
  "a&",
  "a;",
  "(a)",
  "{ a; }",
  "! a",
  "a\nb",
  "echo hi\n\\rm -rf x",
  "echo hi #x",
  "#x",
  "echo a#b",
  "a > b",
  "a >> b",
  "a < b",
  "a 2>&1",
  "a &> b",
  "a >| b",
  "a <> b",
  "a <<< b",
  "a << E\nb\nE",
  "> b",
  "a 2>/dev/null",
  "a >&2",
  "{fd}>x a",
  "echo $x",
  "echo ${x}",
  'echo "$x"',
  "echo $(b)",
  'echo "$(b)"',
  "echo `b`",
  'echo "`b`"',
  "echo $((1))",
  "echo $[1]",
  "echo $'a'",
  'echo $"a"',
  "echo a$",
  "echo $",
  "echo <(b)",
  "echo >(b)",
  "x 1<(b)",
  "x a<(b)",
  "x 9>(b)",
  "echo ~",
  "echo ~/x",
  "echo ~root",
  "echo a=~",
  "echo a=b:~",
  "echo :~",
  "~/x",
  "echo ''~",
  "echo *",
  "echo a?",
  "echo [ab]",
  "echo {a,b}",
  "echo {1..3}",
  "{rm,-rf,x}",
  "echo @(a|b)",
  "echo +(a)",
  "r* x",
  "A=b",
  "A=b c",
  "A+=b c",
  "A[0]=b c",
  "_a1=b c",
  "A= c",
  "echo \\a",
  "echo a\\ b",
  "\\rm x",
  "r\\m x",
  "echo \\\nb",
  "echo 'a\\b'",
  "echo 'a$b'",
  "echo 'a`b'",
  "echo 'a!b'",
  'echo "a\\b"',
  'echo "a!b"',
  "if a; then b; fi",
  "if",
  "then a",
  "else",
  "fi",
  "for i in a; do b; done",
  "for",
  "while a; do b; done",
  "while",
  "until a",
  "case a in b) c;; esac",
  "case",
  "esac",
  "do a",
  "done",
  "select a",
  "function f",
  "f() { a; }",
  "time a",
  "time",
  "coproc a",
  "in a",
  "[[ a == b ]]",
  "[ -f a ]",
  "((1))",
  "c0 ( a",
  "a ) b",
  "a }",
  "a { b",
  "'a",
  '"a',
  "a 'b",
  "''",
  '"" a',
  "'' a",
  "!",
  "!!",
  "!a",
  "a !b",
  `echo ${"a".repeat(9000)}`,
];

/** Commands that deny and ask rules must see. */
const listed: readonly (readonly [line: string, command: string])[] = [
  ["cd x && rm -rf y", "rm -rf y"],
  ["a; rm y", "rm y"],
  ["a | rm y", "rm y"],
  ["a & rm y", "rm y"],
  ["a\nrm y", "rm y"],
  ["(cd x; rm y)", "rm y"],
  ["{ rm y; }", "rm y"],
  ["! rm y", "rm y"],
  ["time -p rm y", "rm y"],
  ["coproc rm y", "rm y"],
  ["A=b rm y", "rm y"],
  ["rm y > z", "rm y"],
  ["> z rm y", "rm y"],
  ["\\rm y", "rm y"],
  ["r'm' y", "rm y"],
  ["$'rm' y", "rm y"],
  ["echo hi\n\\rm y", "rm y"],
  ["echo $(rm y)", "rm y"],
  ['echo "$(rm y)"', "rm y"],
  ["echo `rm y`", "rm y"],
  ["echo `echo \\`rm y\\``", "rm y"],
  ["echo ${a:-$(rm y)}", "rm y"],
  ["a=$(rm y)", "rm y"],
  ["a[$(rm y)]=1", "rm y"],
  ["cat <(rm y)", "rm y"],
  ["cat <<E\n$(rm y)\nE", "rm y"],
  ["cat <<-E\n\t`rm y`\n\tE", "rm y"],
  ["if a; then rm y; fi", "rm y"],
  ["if ! { rm y; }; then a; fi", "rm y"],
  ["for i in a; do rm y; done", "rm y"],
  ["while a; do rm y; done", "rm y"],
  ["case a in b) rm y;; esac", "rm y"],
  ["f() { rm y; }; f", "rm y"],
  ["[[ -n $(rm y) ]]", "rm y"],
  ["echo $(( $(rm y) + 1 ))", "rm y"],
  ["sudo rm y", "rm y"],
  ["sudo -n env A=b rm y", "rm y"],
  ["find . -exec rm y ;", "rm y"],
  ["xargs -0 rm y", "rm y"],
  ["bash -c 'cd x && rm y'", "rm y"],
  ['/bin/sh -c "rm y"', "rm y"],
  ["eval 'a; rm y'", "rm y"],
  ["eval rm y", "rm y"],
  ["eval al 'c2 a; rm y'", "rm y"],
  ["trap 'rm y' EXIT", "rm y"],
  ["timeout 5 bash -c 'rm y'", "rm y"],
  ["bash -c \"bash -c 'rm y'\"", "rm y"],
  ["ssh host 'rm y'", "rm y"],
];

const uncertain: readonly string[] = [
  "x 1<(rm y)",
  "if",
  "a 'b",
  "curl x | sh",
  "bash <<E\nrm y\nE",
  "bash <<< 'rm y'",
  'bash -c "$X"',
  "eval $X",
  "echo $(( $(case a in b) c;; esac) ))",
  `echo ${"a".repeat(70_000)}`,
  "env -S'rm -f q'",
  "env --split-string='rm y'",
  ". ./x",
  "source /dev/stdin <<< 'rm y'",
  "command . ./x",
  "bash /dev/stdin < f",
  "echo x | python3",
  "python3 -c 'import os'",
  "sudo python3.12 -Bc x",
  "find . -exec python -c x ';'",
  "xargs -I{} perl -e {}",
  "node -e 1",
  "bun --eval=1",
  "deno eval 1",
  "php -r 1",
  "awk 'BEGIN{system(\"rm y\")}'",
  "awk '{print | \"rm y\"}'",
  "sudo gawk 'BEGIN{system(\"rm y\")}'",
  "sed -n '1e rm y' f",
  "sed -ne '1e rm y' f",
  "sed -i -e p -e '1e rm y' f",
  "sed --expression='1e rm y' f",
  "sed 's/a/rm y/e' f",
  'sed "$X" f',
  "git -c alias.x='!rm y' x",
  "git submodule foreach 'rm y'",
  "git clone ext::rm",
  "test -v 'a[$(rm y)]'",
  "[ -v 'a[`rm y`]' ]",
  "\\test -v 'a[$(rm y)]'",
  "printf -v 'a[$(rm y)]' x",
  "read 'a[$(rm y)]'",
  "read x <<'E'; echo $((x))\na[$(rm y)]\nE",
  "[[ 'a[$(rm y)]' -eq 0 ]]",
  "x='a[$(rm y)]'; echo $((x))",
  'x="a[\\$(rm y)]"; ((x))',
  "set -- 'a[$(rm y)]'; echo ${b[$1]}",
  "for i in 'a[$(rm y)]'; do let i; echo $((i)); done",
  "x='a[$(rm y)]' bash -c 'echo $((x))'",
  "PS4='$(rm y)'; set -x; true",
  "export 'PS4=$(rm y)'; set -x",
  "x='$(rm y)'; echo ${x@P}",
];

/** Common lines that a deny rule must not turn into questions. */
const clear: readonly string[] = [
  "cd x && make",
  "echo 'a <(b)'",
  "git commit -m 'café'",
  "git commit -m 'use `x` and $(y)'",
  "git log --oneline -5",
  'x=$(git rev-parse HEAD); [ -n "$x" ] && echo $((1 + 2))',
  "bash -c 'x=$(git status); [ -n \"$x\" ]'",
  "bash x.sh",
  "find . -name '*.ts' | xargs grep foo",
  "python3 script.py < data",
  "python -m pytest -x",
  "node --version",
  "node build.js",
  "npm test -- -x",
  "env A=b make",
  "awk '{print $1}' f",
  "awk -F: '{print $1}' \"$f\"",
  "sed -n '1,5p' f",
  "sed -n '/a/,$p' f",
  "sed -i 's/a;e/b/g' src/e.ts",
  "sed -i.bak -e 's#a#b#' -e '/x/d' f",
];

describe("simpleArgv", () => {
  test.each(plain.map(([line, ...argv]) => ({ line, argv })))(
    "of $line are its words",
    ({ line, argv }) => {
      expect(analyseCommand(line).simpleArgv).toEqual(argv);
    },
  );

  test.each(notPlain.map((line) => ({ line })))("does not exist for %j", ({ line }) => {
    expect(analyseCommand(line).simpleArgv).toBeUndefined();
  });
});

describe("commands", () => {
  test.each(listed.map(([line, command]) => ({ line, command })))("of %j", ({ line, command }) => {
    expect(analyseCommand(line).commands).toContainEqual(command.split(" "));
  });

  test("mark words that only bash knows", () => {
    expect(analyseCommand("$X a~ {a,b} ~ k=~ *").commands).toEqual([
      [undefined, "a~", undefined, undefined, undefined, undefined],
    ]);
  });

  test.each(uncertain.map((line) => ({ line })))("may be missing for %j", ({ line }) => {
    expect(analyseCommand(line).complete).toBe(false);
  });

  test.each(clear.map((line) => ({ line })))("are all there for %j", ({ line }) => {
    expect(analyseCommand(line).complete).toBe(true);
  });

  test("of deeply nested and very long lines are given up, not waited for", () => {
    for (const line of [
      "$(".repeat(20_000),
      "(".repeat(30_000),
      "`".repeat(50_000),
      "{a,".repeat(20_000),
    ]) {
      expect(analyseCommand(line).simpleArgv).toBeUndefined();
    }
    const nested = Array.from({ length: 12 }).reduce<string>(
      (inner) => `eval ${JSON.stringify(inner)}`,
      "rm y",
    );
    expect(analyseCommand(nested).complete).toBe(false);
    const script = "s/a/b/ppppp;".repeat(5_000);
    expect(analyseCommand(`sed '${script}!'`).complete).toBe(false);
  });
});

describe("against real bash", () => {
  test("no line is run otherwise than the gate says", async () => {
    const result = await fuzzAgainstBash({ seed: 20, lines: 3000, status: 127, listEvery: 12 });
    expect(result.simpleMisses).toEqual([]);
    expect(result.listMisses).toEqual([]);
    expect(result.confirmed).toBeGreaterThan(1000);
  }, 60_000);

  test("a gate that splits at blanks is caught", async () => {
    const result = await fuzzAgainstBash({
      seed: 21,
      lines: 300,
      status: 0,
      listEvery: 1,
      analyse: (line) => ({
        simpleArgv: line.split(" "),
        commands: [line.split(" ")],
        complete: true,
      }),
    });
    expect(result.simpleMisses.length).toBeGreaterThan(20);
    expect(result.listMisses.length).toBeGreaterThan(20);
  }, 60_000);
});
