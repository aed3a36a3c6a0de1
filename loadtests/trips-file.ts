/** A CSV file of seeded trips, made by the generator of the dataset's own sample. */
import { runServiceCommand } from './service-command.ts';

interface TripsFile {
  readonly path: string;
  readonly rows: number;
  /** Another seed gives other trips. */
  readonly seed: number;
}

/** Some 130 bytes a row; 300,000 rows/s. */
export async function writeTripsFile({ path, rows, seed }: TripsFile): Promise<void> {
  const command = ['app/datasets/trips/generate-sample.ts', path, String(rows), String(seed)];
  const { code, said } = await runServiceCommand(command, {});
  if (code !== 0) throw new Error(`no file of trips could be made: ${said}`);
}
