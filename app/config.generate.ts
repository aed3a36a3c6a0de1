/** Makes `.env.example` from the settings, so that the example never says what the service does not do. */
import { readFile, writeFile } from 'node:fs/promises';
import { SETTINGS } from './config.ts';

/** Only tests set these; a person who copies the example must not meet them. */
const TEST_SETTINGS: readonly string[] = ['FAULT_POINT', 'NODE_ENV'];

export function environmentExample(): string {
  const settings = Object.entries(SETTINGS).filter(([name]) => !TEST_SETTINGS.includes(name));
  const blocks = settings.map(
    ([name, setting]) => `# ${setting.about} (${setting.unit})\n# ${name}=${setting.default}\n`,
  );
  return `# Every setting with its default: take away the # of those you change.\n\n${blocks.join('\n')}`;
}

if (import.meta.main) {
  const file = new URL('../.env.example', import.meta.url);
  const made = environmentExample();
  if (!process.argv.includes('--check')) await writeFile(file, made);
  else if ((await readFile(file, 'utf8')) !== made) {
    console.error('.env.example is not what app/config.ts makes. Run: npm run generate');
    process.exitCode = 1;
  }
}
