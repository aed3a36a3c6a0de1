/**
 * Makes the request collection from the OpenAPI document of a service that runs for a moment on a folder of its own:
 * the document is what the service answers, datasets' own routes included.
 *
 * Run with `--import ./app/telemetry/start.ts`, as every composition is.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { postmanCollection } from './api/postman.ts';
import { readConfig } from './config.ts';
import { openService } from './main.ts';

async function openApi(): Promise<Parameters<typeof postmanCollection>[0]> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-collection-'));
  const settings = { DATA_DIR: folder, PORT: '0', METRICS_PORT: '0', SAMPLE_DATA: 'off', LOG_LEVEL: 'silent' };
  try {
    const service = await openService(readConfig(settings));
    try {
      const answer = await fetch(new URL('/openapi.json', service.url));
      return (await answer.json()) as Parameters<typeof postmanCollection>[0];
    } finally {
      await service.stop({ reason: 'the document is read' });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

const file = new URL('./api/vigia.postman_collection.json', import.meta.url);
const made = `${JSON.stringify(postmanCollection(await openApi()), null, 2)}\n`;
if (!process.argv.includes('--check')) await writeFile(file, made);
else if ((await readFile(file, 'utf8')) !== made) {
  console.error('app/api/vigia.postman_collection.json is not what the routes make. Run: npm run generate');
  process.exitCode = 1;
}
