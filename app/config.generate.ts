/**
 * Makes `.env.example` and the README's table of settings from the settings themselves, so that neither ever says what
 * the service does not do.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { SETTINGS } from './config.ts';

/** Only tests set these; a person who copies the example must not meet them. */
const TEST_SETTINGS: readonly string[] = ['FAULT_POINT', 'NODE_ENV'];
const [BEGIN, END] = ['<!-- generated: settings -->', '<!-- end of generated: settings -->'] as const;

const FILES = [
  { name: '.env.example', make: () => environmentExample() },
  { name: 'README.md', make: (now: string) => withSettings(now) },
] as const;

export function environmentExample(): string {
  const blocks = shownSettings().map(
    ([name, setting]) => `# ${setting.about} (${setting.unit})\n# ${name}=${setting.default}\n`,
  );
  return `# Every setting with its default: take away the # of those you change.\n\n${blocks.join('\n')}`;
}

/** The README with its table made anew; everything outside the markers stays. */
export function withSettings(readme: string): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`README.md lacks the markers "${BEGIN}" and "${END}".`);
  const rows = shownSettings().map(
    ([name, { default: value, unit, about }]) =>
      `| \`${name}\` | ${value === '' ? '*empty*' : `\`${value}\``} | ${unit} | ${about} |`,
  );
  const table = ['| setting | default | unit | what it does |', '|---|---|---|---|', ...rows].join('\n');
  return `${readme.slice(0, from)}${BEGIN}\n${table}\n${readme.slice(to)}`;
}

function shownSettings() {
  return Object.entries(SETTINGS).filter(([name]) => !TEST_SETTINGS.includes(name));
}

if (import.meta.main) {
  for (const { name, make } of FILES) {
    const file = new URL(`../${name}`, import.meta.url);
    const is = await readFile(file, 'utf8');
    const made = make(is);
    if (!process.argv.includes('--check')) await writeFile(file, made);
    else if (is !== made) {
      console.error(`${name} is not what app/config.ts makes. Run: npm run generate`);
      process.exitCode = 1;
    }
  }
}
