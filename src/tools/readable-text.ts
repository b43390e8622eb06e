// HTML as text a model can read: headings, paragraphs, lists, tables as rows, links as `text <url>`; scripts,
// styles, navigation, forms' controls and pictures left out. The heavy package is loaded on first use.

/** More is cut before parsing: conversion takes about 0.2 s per million characters and blocks. */
const maxHtmlChars = 2_000_000;
/** Elements nested deeper are left out. */
const maxDepth = 200;

const skipped =
  "title script style noscript template nav footer aside svg img iframe object button select";
const headings = ["h1", "h2", "h3", "h4", "h5", "h6"];

/** `baseUrl` completes relative links. */
export async function toReadableText(html: string, baseUrl: string): Promise<string> {
  const { convert } = await import("html-to-text");
  const text = convert(html.slice(0, maxHtmlChars), {
    wordwrap: false,
    limits: { maxInputLength: maxHtmlChars, maxDepth },
    formatters: {
      // The package's own table formatter takes time quadratic in the rows.
      cell(element, walk, builder) {
        walk(element.children, builder);
        builder.addInline(" | ");
      },
    },
    selectors: [
      ...skipped.split(" ").map((selector) => ({ selector, format: "skip" })),
      ...headings.map((selector) => ({ selector, options: { uppercase: false } })),
      {
        selector: "a",
        options: {
          // Not its baseUrl, which is only put in front.
          pathRewrite: (path: string) => URL.parse(path, baseUrl)?.href ?? path,
          hideLinkHrefIfSameAsText: true,
          noAnchorUrl: true,
          linkBrackets: ["<", ">"],
        },
      },
      { selector: "tr", format: "block", options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
      { selector: "td", format: "cell" },
      { selector: "th", format: "cell" },
    ],
  });
  const lines = text.split("\n").map((line) => line.trimEnd());
  return lines
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}
