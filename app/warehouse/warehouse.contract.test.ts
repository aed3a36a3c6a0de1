import { openDuckdbWarehouse } from './duckdb-warehouse.ts';
import { describeWarehouse } from './warehouse.contract.ts';

describeWarehouse('embedded', ({ dir, contracts, now }) =>
  openDuckdbWarehouse({
    dir,
    contracts,
    now,
    memoryMib: 512,
    threads: 1,
    readers: 2,
    readQueueMax: 64,
    percentileRowsMax: 1_000_000,
    onBroken: (error) => {
      throw new Error('the file broke', { cause: error });
    },
  }),
);
