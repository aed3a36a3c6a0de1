/** `/docs/errors`: `errors.md` as a page, each heading that names a code an anchor of that name. */
import { readFileSync } from 'node:fs';
import { Marked } from 'marked';

export function errorsPage(): string {
  const markdown = readFileSync(new URL('../errors.md', import.meta.url), 'utf8');
  const marked = new Marked({
    async: false,
    renderer: {
      heading({ tokens, depth, text }) {
        const code = /[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|INTERNAL|OVERLOADED|STOPPING/.exec(text)?.[0];
        const anchor = code === undefined ? '' : ` id="${code}"`;
        return `<h${depth}${anchor}>${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
    },
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vigía: error codes</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}code{font-family:ui-monospace,monospace}:target{background:#ff03}</style>
</head>
<body>
${marked.parse(markdown) as string}
</body>
</html>
`;
}
