import { openDuckdbWarehouse } from './duckdb-warehouse.ts';
import { describeWarehouse, type OpenOptions } from './warehouse.contract.ts';

const open = (seenIds: { readonly seenIdsBytesMax?: number }) => (options: OpenOptions) =>
  openDuckdbWarehouse({
    ...options,
    ...seenIds,
    memoryMib: 512,
    threads: 1,
    readers: 2,
    readQueueMax: 64,
    percentileRowsMax: 1_000_000,
    onBroken: (error) => {
      throw new Error('the file broke', { cause: error });
    },
  });

describeWarehouse('embedded', open({}));
describeWarehouse('embedded, more ids than memory', open({ seenIdsBytesMax: 0 }));
