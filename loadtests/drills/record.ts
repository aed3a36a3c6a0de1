/** The dated page that a run of the drills leaves: what ran, on what machine, how long, and what it measured. */
export interface DrillResult {
  readonly name: string;
  readonly file: string;
  readonly held: boolean;
  readonly seconds: number;
  /** The drill's own last line. */
  readonly line: string;
}

interface DrillRun {
  /** `YYYY-MM-DD`, UTC. */
  readonly date: string;
  readonly machine: string;
  readonly results: readonly DrillResult[];
}

export function drillRecord({ date, machine, results }: DrillRun): string {
  const held = results.filter((result) => result.held).length;
  const rows = results.map(
    ({ name, held: one, seconds, line }) =>
      `| ${name} | ${one ? 'held' : '**failed**'} | ${seconds.toFixed(1)} | ${line.replaceAll('|', '\\|')} |`,
  );
  return `# Drills of ${date}

${held} of ${results.length} held. Machine: ${machine}.

| drill | outcome | seconds | result |
|---|---|---:|---|
${rows.join('\n')}
`;
}
