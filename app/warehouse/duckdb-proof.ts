/**
 * What a rebuild must not change, as numbers: for each dataset rows, exact sums and a fingerprint of every value.
 *
 * A fingerprint is the sum of its rows' hashes: no order in it, and a row that is there twice does not cancel out.
 * Commit numbers are left out, because a rebuild makes new commits.
 */
import { quoted, type Sql } from './duckdb-session.ts';

export interface DatasetProof {
  readonly stored: number;
  /** Of integers and decimals, as exact text. */
  readonly sums: Readonly<Record<string, string>>;
  readonly fingerprint: string;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly rejected: number;
  readonly erased: number;
  /** Of the ledger's rows and of those set apart. */
  readonly custody: string;
}

export type Proof = Readonly<Record<string, DatasetProof>>;

interface ProofOptions {
  readonly datasets: readonly string[];
  /** Only messages in this table or query (column `message_id`). Absent: all. */
  readonly messages?: string;
}

/** Of the datasets that have a table. */
export async function takeProof(sql: Sql, { datasets, messages }: ProofOptions): Promise<Proof> {
  const proofs: Record<string, DatasetProof> = {};
  const tables = await sql.rows("SELECT table_name AS name FROM duckdb_tables() WHERE schema_name = 'silver'");
  const present = new Set(tables.map(({ name }) => name));
  for (const dataset of datasets.filter((name) => present.has(name))) {
    const silver = await silverProof(sql, dataset, only('_message_id', messages));
    const held = only('message_id', messages);
    const [ledger] = await sql.rows(
      `SELECT coalesce(sum(len(duplicates)), 0)::DOUBLE AS duplicate, coalesce(sum(rejected), 0)::DOUBLE AS rejected,
         coalesce(sum(len(erased)), 0)::DOUBLE AS erased,
         ${fingerprint('message_id, request_id, api_key_id, sequence, late, received_at, accepted, rejected, stored, quarantined, duplicates, erased, expired')} AS fingerprint
       FROM custody.ledger WHERE dataset = $1 AND ${held}`,
      [dataset],
    );
    const [apart] = await sql.rows(
      `SELECT count(*) FILTER (origin = 'pipeline')::DOUBLE AS quarantined,
         ${fingerprint('message_id, "index", origin, code, pointer, expected, got, body, body_bytes, body_hash, received_at')} AS fingerprint
       FROM custody.quarantine WHERE dataset = $1 AND ${held}`,
      [dataset],
    );
    proofs[dataset] = {
      ...silver,
      duplicate: Number(ledger?.duplicate),
      quarantined: Number(apart?.quarantined),
      rejected: Number(ledger?.rejected),
      erased: Number(ledger?.erased),
      custody: `${ledger?.fingerprint}/${apart?.fingerprint}`,
    };
  }
  return proofs;
}

async function silverProof(
  sql: Sql,
  dataset: string,
  where: string,
): Promise<Pick<DatasetProof, 'stored' | 'sums' | 'fingerprint'>> {
  const columns = await sql.rows(
    "SELECT column_name AS name, data_type AS type FROM duckdb_columns() WHERE schema_name = 'silver' AND table_name = $1 AND column_name <> '_commit' ORDER BY column_index",
    [dataset],
  );
  const names = columns.map(({ name }) => quoted(String(name)));
  const summed = columns
    .filter(({ name, type }) => /^(BIGINT|DECIMAL)/.test(String(type)) && !String(name).startsWith('_'))
    .map(({ name }) => String(name));
  const sums = summed.map((name) => `, coalesce(sum(${quoted(name)}), 0)::VARCHAR AS ${quoted(name)}`).join('');
  const [row] = await sql.rows(
    `SELECT count(*)::DOUBLE AS _stored, ${fingerprint(names.join(', '))} AS _fingerprint${sums} FROM silver.${quoted(dataset)} WHERE ${where}`,
  );
  return {
    stored: Number(row?._stored),
    fingerprint: String(row?._fingerprint),
    sums: Object.fromEntries(summed.map((name) => [name, String(row?.[name])])),
  };
}

function fingerprint(columns: string): string {
  return `coalesce(sum(hash(${columns})::HUGEINT), 0)::VARCHAR`;
}

function only(column: string, messages: string | undefined): string {
  return messages === undefined ? 'true' : `${column} IN (SELECT message_id FROM ${messages})`;
}
