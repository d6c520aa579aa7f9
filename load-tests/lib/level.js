// One level of a load test. The plan file of nsys tells everything: model, rate, virtual users, the
// windows one after the other (the first is a warm-up that does not count), traffic mix. Each request
// carries the window it began in, so that k6 keeps the percentiles of each apart.
import http from 'k6/http';
import { md5 } from 'k6/crypto';
import { Counter } from 'k6/metrics';
import exec from 'k6/execution';

const plan = JSON.parse(open(__ENV.NSYS_PLAN));
const accepted = new Counter('accepted');
const failures = new Counter('failures');
const answerTime = plan.histogram ? new Counter('answer_time') : null;
const channels = ['EMAIL', 'SMS', 'PUSH', 'IN_APP'];
const kinds = ['create', 'get', 'list', 'correlation'];
const headers = { Authorization: `Bearer ${plan.token}`, 'Content-Type': 'application/json' };

http.setResponseCallback(http.expectedStatuses(200, 201));

// One scenario for the whole level: two would each want their own virtual users.
function scenario() {
  const seconds = plan.windows.reduce((sum, window) => sum + window.seconds, 0);
  const users = { preAllocatedVUs: plan.vus, maxVUs: plan.vus, timeUnit: '1s', gracefulStop: '15s' };
  if (plan.model === 'closed') {
    return { executor: 'constant-vus', vus: plan.vus, duration: `${seconds}s`, gracefulStop: '15s' };
  }
  if (plan.windows.every((window) => window.rate === plan.windows[0].rate)) {
    return { executor: 'constant-arrival-rate', rate: plan.windows[0].rate, duration: `${seconds}s`, ...users };
  }
  // A stage of no length is a jump.
  const stages = plan.windows.flatMap(({ rate, seconds }) => [
    { target: rate, duration: '0s' },
    { target: rate, duration: `${seconds}s` },
  ]);
  return { executor: 'ramping-arrival-rate', startRate: plan.windows[0].rate, stages, ...users };
}

const causes = ['timeout', 'refused', 'reset', 'dns', 'tcp', 'tls', 'other'].concat(
  [400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504].map((status) => `status_${status}`),
);

// The codes are k6's own: https://grafana.com/docs/k6/latest/javascript-api/error-codes/
function causeOf(answer) {
  if (answer.status > 0) {
    const cause = `status_${answer.status}`;
    return causes.includes(cause) ? cause : 'other';
  }
  const code = answer.error_code;
  if (code === 1050 || code === 1211) return 'timeout';
  if (code === 1212) return 'refused';
  if (code === 1220) return 'reset';
  if (code >= 1100 && code < 1200) return 'dns';
  if (code >= 1200 && code < 1300) return 'tcp';
  if (code >= 1300 && code < 1400) return 'tls';
  return 'other';
}

// Answer times as counts, each bucket an eighth of a doubling wide, for what several generators share.
const buckets = plan.histogram ? Array.from({ length: 160 }, (_, bucket) => bucket) : [];
const bucketOf = (ms) => Math.max(0, Math.min(159, Math.ceil(8 * Math.log2(Math.max(ms, 0.05) / 0.05))));

// A threshold is what makes k6 keep a sub-metric; these always hold.
const kept = { dropped_iterations: ['count>=0'] };
for (const tag of ['measured:yes', ...plan.windows.map((window) => `window:${window.name}`)]) {
  kept[`http_reqs{${tag}}`] = ['count>=0'];
  kept[`http_req_failed{${tag}}`] = ['rate>=0'];
  kept[`http_req_duration{expected_response:true,${tag}}`] = ['max>=0'];
  kept[`iteration_duration{${tag}}`] = ['max>=0'];
}
for (const kind of kinds) kept[`http_req_duration{expected_response:true,measured:yes,kind:${kind}}`] = ['max>=0'];
for (const cause of causes) kept[`failures{cause:${cause}}`] = ['count>=0'];
for (const bucket of buckets) kept[`answer_time{measured:yes,bucket:${bucket}}`] = ['count>=0'];

export const options = {
  scenarios: { load: scenario() },
  thresholds: kept,
  summaryTrendStats: ['min', 'avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  systemTags: ['status', 'method', 'name', 'expected_response'],
  discardResponseBodies: true,
  noConnectionReuse: false,
};

// Reads are skewed as real ones are: four of five go to one per cent of the table.
const popular = (limit) => (Math.random() < 0.8 ? below(Math.max(1, Math.floor(limit / 100))) : below(limit));
const below = (limit) => Math.floor(Math.random() * limit);
const tagged = (kind, name) => ({ headers, tags: { kind, name }, timeout: '30s' });

// The id that the seeding gave to notification n.
function seededId(n) {
  const hex = md5(`nsys-seed-${n}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function create() {
  const body = {
    userId: `seed-user-${below(plan.seed_users)}`,
    channel: channels[below(channels.length)],
    type: 'TRANSACTIONAL',
    priority: 'MEDIUM',
    payload: { to: 'user@example.com', deviceToken: 'device-1', subject: 'Load test', body: 'A message of a load test.' },
    correlationId: `${plan.prefix}-${exec.vu.idInTest}-${exec.vu.iterationInInstance}`,
  };
  const answer = http.post(`${plan.base_url}/notifications`, JSON.stringify(body), tagged('create', 'POST /notifications'));
  if (answer.status === 201) accepted.add(1);
  return answer;
}

function request() {
  // One endpoint for everything, to compare generators.
  if (plan.path) return http.get(`${plan.base_url}${plan.path}`, tagged('get', `GET ${plan.path}`));
  const dice = Math.random();
  const { create: c, get: g, list: l } = plan.mix;
  if (dice < c) return create();
  if (dice < c + g) {
    return http.get(`${plan.base_url}/notifications/${seededId(popular(plan.seed_notifications))}`, tagged('get', 'GET /notifications/{id}'));
  }
  if (dice < c + g + l) {
    const user = `seed-user-${below(plan.seed_users)}`;
    return http.get(`${plan.base_url}/notifications?userId=${user}&status=DELIVERED&limit=20`, tagged('list', 'GET /notifications?userId'));
  }
  const id = `seed-correlation-${below(Math.max(1, Math.floor(plan.seed_notifications / 10)))}`;
  return http.get(`${plan.base_url}/notifications?correlationId=${id}`, tagged('correlation', 'GET /notifications?correlationId'));
}

const ends = plan.windows.map((window) => (window.start_s + window.seconds) * 1000);
let current = -1;

// Tags stay with the virtual user, so they are set only when a window begins.
function enterWindow() {
  const at = exec.instance.currentTestRunDuration;
  let index = Math.max(0, current);
  while (index < ends.length - 1 && at >= ends[index]) index += 1;
  if (index === current) return;
  current = index;
  exec.vu.metrics.tags.window = plan.windows[index].name;
  exec.vu.metrics.tags.measured = plan.windows[index].measured ? 'yes' : 'no';
}

// Runs when every virtual user is made, right before the load begins.
export function setup() {
  return { began_ms: Date.now() };
}

export default function () {
  enterWindow();
  const answer = request();
  if (answer.status !== 200 && answer.status !== 201) failures.add(1, { cause: causeOf(answer) });
  if (answerTime && answer.status > 0) answerTime.add(1, { bucket: String(bucketOf(answer.timings.duration)) });
}

export function handleSummary(data) {
  return { [plan.summary]: JSON.stringify(data) };
}
