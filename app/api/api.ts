/**
 * The HTTP side of the service, put together. A request goes through `http-server.ts` (the socket), `entrance.ts` (load
 * shedding), `express-app.ts` (the gate, then its route; errors become problem documents) and a `*-routes.ts`.
 */
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import type { DatasetRoute } from '../datasets/route.ts';
import type { Equation } from '../equation.ts';
import type { Validator } from '../record/validate.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';
import { Admission } from './admission.ts';
import { Gate } from './access.ts';
import { ByteBudget } from './byte-budget.ts';
import { custodyRoutes } from './custody-routes.ts';
import { datasetRoutes } from './dataset-routes.ts';
import { ASSETS_ROUTE, docsRoutes } from './docs-routes.ts';
import { enter } from './entrance.ts';
import { type Erasures, erasureRoutes } from './erasure-routes.ts';
import { expressApp } from './express-app.ts';
import { closeServer, httpServer, listen } from './http-server.ts';
import type { IngestParts } from './ingest.ts';
import { ingestRoutes } from './ingest-routes.ts';
import { KeyAudit } from './key-audit.ts';
import { landingRoutes } from './landing-routes.ts';
import { ownRoutes } from './own-routes.ts';
import { probeRoutes } from './probe-routes.ts';
import { ReadAnswers } from './read-answer.ts';
import { Readiness } from './readiness.ts';
import { readRoutes } from './read-routes.ts';
import { receiptRoutes } from './receipt-routes.ts';
import type { Route } from './route.ts';
import { routeMatcher } from './route-matcher.ts';
import { FEED_ROUTE, StatusFeed } from './status-feed.ts';
import { statusRoutes } from './status-routes.ts';

export interface ApiParts {
  readonly config: Config;
  readonly version: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly datasetRoutes: readonly DatasetRoute[];
  readonly validators: ReadonlyMap<string, Validator>;
  readonly signingKey: Buffer;
  readonly equation: () => Promise<Equation>;
  readonly erasures: Erasures;
  readonly faultPoint?: (name: string) => void;
  readonly now: () => number;
}

export interface Api {
  /** For code that accepts records without HTTP (samples): the same parts the routes use. */
  readonly ingest: IngestParts;
  readonly feed: StatusFeed;
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** `/readyz` may say 200 from here on. */
  becomeReady(): Promise<void>;
  /** Refuses new requests, waits for those under way, at most `timeoutMs`; then cuts the rest. */
  close(options: { readonly timeoutMs: number }): Promise<void>;
}

const WAREHOUSE_CHECK_MS = 2_000;

export function createApi(parts: ApiParts): Api {
  const { config, telemetry } = parts;
  const budget = new ByteBudget(config.BODY_BYTES_IN_FLIGHT_MAX);
  const ingest: IngestParts = { ...parts, budget };
  const gate = new Gate(parts);
  const feed = new StatusFeed({ ...parts, gate, datasets: [...parts.contracts.keys()] });
  const admission = new Admission({ targetMs: config.QUEUE_TIME_TARGET_MS, windowMs: config.QUEUE_TIME_WINDOW_MS });
  const readiness = new Readiness({ checks: checksOf(parts), telemetry });
  const answers = new ReadAnswers(parts);
  const keyAudit = new KeyAudit(parts);
  const routes = allRoutes(parts, { ingest, readiness, answers, keyAudit });
  telemetry.declareRoutes([...routes, ASSETS_ROUTE, FEED_ROUTE]);
  telemetry.onScrape(async function api() {
    telemetry.bodyBytesHeld({ bytes: budget.used });
    telemetry.cacheHolds({ bytes: answers.cachedBytes });
    telemetry.queueTime({ seconds: admission.queueTimeMs / 1000, shedding: admission.share > 0 });
    await readiness.look();
  });
  const app = expressApp({ ...parts, gate }, routes);
  const accepting = (): boolean => !readiness.stopping;
  const entrance = { app, admission, gate, telemetry, routeOf: routeMatcher(routes), accepting };
  const server = httpServer(parts, (request, response) => enter(entrance, request, response));
  feed.attach(server);
  return {
    ingest,
    feed,
    listen: () => listen(server, config),
    becomeReady: () => {
      keyAudit.start();
      return readiness.begin();
    },
    close: async ({ timeoutMs }) => {
      readiness.stop();
      admission.stop();
      feed.close();
      await closeServer(server, timeoutMs);
      await keyAudit.stop();
    },
  };
}

function checksOf({ bus, state, warehouse }: ApiParts) {
  return {
    bus: () => bus.check(),
    state: () => state.check(),
    warehouse: () => warehouse.check(WAREHOUSE_CHECK_MS),
  };
}

interface RouteNeeds {
  readonly ingest: IngestParts;
  readonly readiness: Readiness;
  readonly answers: ReadAnswers;
  readonly keyAudit: KeyAudit;
}

function allRoutes(parts: ApiParts, { ingest, readiness, answers, keyAudit }: RouteNeeds): readonly Route[] {
  const routes = [
    ...ingestRoutes({ ...parts, ...ingest }),
    ...receiptRoutes(parts),
    ...datasetRoutes(parts),
    ...readRoutes({ ...parts, answers }),
    ...ownRoutes({ ...parts, answers }),
    ...erasureRoutes(parts),
    ...custodyRoutes({ ...parts, budget: ingest.budget, keyAudit }),
    ...landingRoutes(parts),
    ...statusRoutes(parts),
    ...probeRoutes(readiness),
  ];
  return [...routes, ...docsRoutes({ version: parts.version, routes })];
}
