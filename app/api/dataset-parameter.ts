/** The `:dataset` of a path, looked up among the contracts. */
import type { Request } from 'express';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';

export function datasetOf(contracts: ReadonlyMap<string, Contract>, request: Pick<Request, 'params'>): Contract {
  const name = String(request.params.dataset);
  const contract = contracts.get(name);
  if (contract !== undefined) return contract;
  throw new AppError({
    code: 'DATASET_UNKNOWN',
    publicMessage: `DATASET_UNKNOWN: there is no such dataset; there are ${[...contracts.keys()].join(', ')}. GET /v1/datasets describes them.`,
  });
}
