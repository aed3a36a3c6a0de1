/** Which route a request would have been taken by, for requests that are refused before Express looks at them. */
import type { Route } from './route.ts';

export type RouteMatcher = (request: {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
}) => string | undefined;

/** A few microseconds: only for requests that are refused. */
export function routeMatcher(routes: readonly Pick<Route, 'method' | 'path'>[]): RouteMatcher {
  const patterns = routes.map(({ method, path }) => ({
    methods: method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
    path,
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/:[^/]+/g, '[^/]+')}/?$`, 'i'),
  }));
  return ({ method = '', url = '' }) => {
    const path = url.split('?', 1)[0] ?? '';
    return patterns.find((one) => one.methods.includes(method) && one.pattern.test(path))?.path;
  };
}
