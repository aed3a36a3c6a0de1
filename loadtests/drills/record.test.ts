import assert from 'node:assert/strict';
import { drillRecord } from './record.ts';

describe('the record of the drills', () => {
  it('names every drill with its outcome, seconds and result line, failed ones in bold', () => {
    const record = drillRecord({
      date: '2026-01-31',
      machine: '2 cores',
      results: [
        { name: 'soak', file: 'loadtests/soak.drill.ts', held: true, seconds: 1800.04, line: 'slope=0.2 MiB/min' },
        { name: 'restore', file: 'app/restore.drill.ts', held: false, seconds: 3, line: 'lost=1 | of 9' },
      ],
    });
    assert.match(record, /^# Drills of 2026-01-31\n\n1 of 2 held\. Machine: 2 cores\.\n/);
    assert.match(record, /\n\| soak \| held \| 1800\.0 \| slope=0\.2 MiB\/min \|\n/);
    assert.match(record, /\n\| restore \| \*\*failed\*\* \| 3\.0 \| lost=1 \\\| of 9 \|\n$/);
  });
});
