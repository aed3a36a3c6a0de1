/** The service on a new folder, given a file by its landing folder, and what it says of that file while it takes it. */
import { mkdir, mkdtemp, rename, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ServiceProcess, startService } from './service-process.ts';
import { getJson } from './stored-records.ts';

const LOOK_MS = 20;
/** Older than LANDING_SETTLE_MS, so that the file is taken at once, as one that `mv` brought. */
const CONTENT_AGE_SECONDS = 60;
const ENV = { OTEL_SDK_DISABLED: 'true', LANDING_LOOK_MS: '10' };

export interface LandedFile {
  readonly path: string;
  readonly state: string;
  readonly records: number | null;
  readonly read: number;
  readonly stored: number;
  readonly rejected: number;
  readonly error: { readonly code: string } | null;
}

export interface LandingService {
  readonly service: ServiceProcess;
  readonly dataDir: string;
  /** Where a file may be written at leisure: hidden, in the landing folder of trips. */
  readonly draft: string;
  /** Gives the draft its name. Resolves when it is archived; throws when it came to another end. */
  land(options?: { readonly onLook?: (file: LandedFile) => void }): Promise<{ readonly seconds: number }>;
  /** As an operator would. */
  stop(): Promise<void>;
  /** Removes the folder; kills the process first when it still runs. */
  remove(): Promise<void>;
}

export async function startLandingService(env: Readonly<Record<string, string>> = {}): Promise<LandingService> {
  const dataDir = await mkdtemp(join(tmpdir(), 'vigia-landing-'));
  const service = await startService({ dataDir, env: { ...ENV, ...env } });
  const draft = join(dataDir, 'landing', 'trips', '.draft');
  await mkdir(dirname(draft), { recursive: true });
  return {
    service,
    dataDir,
    draft,
    land: async ({ onLook = () => undefined } = {}) => {
      const content = Date.now() / 1000 - CONTENT_AGE_SECONDS;
      await utimes(draft, content, content);
      const startedAt = performance.now();
      await rename(draft, join(dirname(draft), 'trips.csv'));
      await landed(service, onLook);
      return { seconds: (performance.now() - startedAt) / 1000 };
    },
    stop: async () => {
      service.kill('SIGTERM');
      const { code } = await service.ended;
      if (code !== 0) throw new Error(`the service ended with ${code}:\n${service.output()}`);
    },
    remove: async () => {
      service.kill('SIGKILL');
      await service.ended;
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function landed(service: ServiceProcess, onLook: (file: LandedFile) => void): Promise<void> {
  for (;;) {
    const { data } = await getJson<{ readonly data: readonly LandedFile[] }>(service, '/v1/landing');
    const [file] = data;
    if (file !== undefined) {
      onLook(file);
      if (file.state === 'done') return;
      if (file.error !== null) throw new Error(`${JSON.stringify(file)}:\n${service.output()}`);
    }
    await pause(LOOK_MS);
  }
}
