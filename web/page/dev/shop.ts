// Documents of a made-up shop, as the aggregator would write them. For development only: the
// page's own tests run against a real aggregator.

import type { Hit } from '../src/api/types';

let seed = 42;
function random(): number {
  // mulberry32: the same documents at each start.
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const int = (below: number) => Math.floor(random() * below);
const hex = (digits: number) => Array.from({ length: digits }, () => int(16).toString(16)).join('');

const SERVICES = ['checkout', 'payments', 'catalogue', 'orders', 'search', 'sessions', 'mailer', 'frontend'];
const PODS = new Map(SERVICES.map((s) => [s, [1, 2].map(() => `${s}-${hex(9)}-${hex(5)}`)]));
const PATHS = ['/', '/catalogue', '/cart/items', '/checkout', '/api/v2/orders', '/api/v2/stock', '/healthz', '/static/app.js'];
const AGENTS = ['Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)', 'curl/8.5.0', 'kube-probe/1.34'];
const MESSAGES: [string, string, () => Record<string, unknown>][] = [
  ['info', 'order accepted', () => ({ order: `A${int(90000)}`, total_cents: int(20000) })],
  ['info', 'payment authorised', () => ({ order: `A${int(90000)}`, provider: pick(['stripe', 'adyen']), took: int(400) })],
  ['info', 'session refreshed', () => ({ user: `u${int(5000)}` })],
  ['debug', 'cache miss, asking the database', () => ({ key: `sku:${int(9000)}`, took: int(30) })],
  ['info', 'mail queued', () => ({ template: pick(['receipt', 'welcome']) })],
  ['warn', 'retrying upstream call', () => ({ attempt: int(3) + 1, upstream: pick(['stock', 'payments']) })],
  ['warn', 'slow query', () => ({ took: 800 + int(4000), table: pick(['orders', 'items']) })],
  ['info', '\u001b[32mGET\u001b[0m /api/v2/stock \u001b[33m200\u001b[0m', () => ({ took: int(80) })],
  ['info', '{"event":"price_changed","sku":4711,"old":12.5,"new":11.9,"reasons":["campaign","stock"]}', () => ({})],
];
const TRACE = (order: string) => `com.shop.payments.GatewayTimeout: no answer from acquirer for order ${order} after 3000 ms
\tat com.shop.payments.Gateway.authorise(Gateway.java:118)
\tat com.shop.checkout.CheckoutService.pay(CheckoutService.java:74)
\tat org.springframework.aop.support.AopUtils.invokeJoinpointUsingReflection(AopUtils.java:355)
\tat org.springframework.aop.framework.ReflectiveMethodInvocation.proceed(ReflectiveMethodInvocation.java:184)
\tat org.springframework.transaction.interceptor.TransactionInterceptor.invoke(TransactionInterceptor.java:119)
\tat jakarta.servlet.http.HttpServlet.service(HttpServlet.java:658)
\tat org.apache.catalina.core.StandardWrapper.invoke(StandardWrapper.java:101)
\tat com.shop.checkout.Endpoint.post(Endpoint.java:41)
\tat java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
\tat java.base/sun.nio.ch.NioSocketImpl.implRead(NioSocketImpl.java:304)
\tat java.base/java.net.SocketInputStream.read(SocketInputStream.java:343)
\t... 12 more`;

let offset = 0;

/** One document of this time. */
export function makeHit(at: number): Hit {
  const service = pick(SERVICES);
  const pod = pick(PODS.get(service) ?? ['?']);
  const kind = random();
  const isTroubled = Math.sin(at / 3.6e6) > 0.8;
  let level = 'info';
  let message = '';
  let extra: Record<string, unknown> = {};
  if (kind < 0.5) {
    const status = pick([200, 200, 200, 200, 200, 304, 302, 404, isTroubled ? 500 : 200, isTroubled ? 503 : 201]);
    const path = pick(PATHS);
    const method = pick(['GET', 'GET', 'GET', 'POST']);
    const address = `10.${int(4)}.${int(8)}.${int(20)}`;
    level = status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info';
    message = `${address} - - "${method} ${path} HTTP/1.1" ${status} ${int(60000)}`;
    extra = {
      source: { address, ip: address }, url: { original: path, path }, user_agent: { original: pick(AGENTS) },
      http: { request: { method }, response: { status_code: status, body: { bytes: int(60000) } }, version: '1.1' },
      event: { duration: int(400) * 1_000_000 }, tailrace: { rule: 'nginx.access' },
    };
  } else if (kind < (isTroubled ? 0.58 : 0.51)) {
    const order = `A${int(90000)}`;
    level = 'error';
    message = `payment failed for order ${order}: no answer from acquirer`;
    extra = {
      error: { type: 'com.shop.payments.GatewayTimeout', message: `no answer from acquirer for order ${order}`, stack_trace: TRACE(order), fingerprint: 'b7c1f09a3e' },
      attributes: { order },
    };
  } else {
    const [l, m, attributes] = pick(MESSAGES);
    level = l;
    message = m;
    extra = { attributes: attributes() };
  }
  offset += message.length + 60;
  return {
    id: hex(24), index: '.ds-logs-kubernetes.container_logs-default-000001', cursor: '',
    source: {
      '@timestamp': new Date(at).toISOString().replace('Z', `${String(int(1e6)).padStart(6, '0')}Z`),
      message,
      log: { level, iostream: level === 'error' ? 'stderr' : 'stdout', offset, file: { path: `/var/log/containers/${pod}_shop_${service}.log` } },
      service: { name: service },
      kubernetes: { namespace: service === 'frontend' ? 'web' : 'shop', pod: { name: pod }, container: { name: service }, node: { name: `node-${service.length % 3}` }, labels: { app: service } },
      ...(kind > 0.4 ? { trace: { id: hex(8).repeat(4).slice(0, 32) } } : {}),
      ...extra,
    },
  };
}
