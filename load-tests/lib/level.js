// One level of a load test: a warm-up that is not measured, then the steady window, each its own
// scenario, so that k6 keeps their percentiles apart. Everything is told by the plan file of nsys.
import http from 'k6/http';
import { md5 } from 'k6/crypto';
import { Counter } from 'k6/metrics';
import exec from 'k6/execution';

const plan = JSON.parse(open(__ENV.NSYS_PLAN));
const accepted = new Counter('accepted');
const channels = ['EMAIL', 'SMS', 'PUSH', 'IN_APP'];
const kinds = ['create', 'get', 'list', 'correlation'];
const headers = { Authorization: `Bearer ${plan.token}`, 'Content-Type': 'application/json' };

http.setResponseCallback(http.expectedStatuses(200, 201));

function scenario(start, seconds) {
  const common = { startTime: `${start}s`, duration: `${seconds}s`, gracefulStop: '15s' };
  return plan.model === 'open'
    ? { executor: 'constant-arrival-rate', rate: plan.rate, timeUnit: '1s', preAllocatedVUs: plan.vus, maxVUs: plan.vus, ...common }
    : { executor: 'constant-vus', vus: plan.vus, ...common };
}

// A threshold is what makes k6 keep a sub-metric; these always hold.
const kept = {};
for (const metric of ['http_req_duration', ...kinds.map((kind) => `http_req_duration,kind:${kind}`)]) {
  const [name, tag] = metric.split(',');
  kept[`${name}{scenario:steady${tag ? `,${tag}` : ''}}`] = ['max>=0'];
}
kept['http_reqs{scenario:steady}'] = ['count>=0'];
kept['http_req_failed{scenario:steady}'] = ['rate>=0'];
kept['dropped_iterations{scenario:steady}'] = ['count>=0'];

export const options = {
  scenarios: {
    ...(plan.warmup_s > 0 ? { warmup: scenario(0, plan.warmup_s) } : {}),
    steady: scenario(plan.warmup_s, plan.steady_s),
  },
  thresholds: kept,
  summaryTrendStats: ['min', 'avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  discardResponseBodies: true,
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
}

export default function () {
  const dice = Math.random();
  const { create: c, get: g, list: l } = plan.mix;
  if (dice < c) {
    create();
  } else if (dice < c + g) {
    http.get(`${plan.base_url}/notifications/${seededId(popular(plan.seed_notifications))}`, tagged('get', 'GET /notifications/{id}'));
  } else if (dice < c + g + l) {
    const user = `seed-user-${below(plan.seed_users)}`;
    http.get(`${plan.base_url}/notifications?userId=${user}&status=DELIVERED&limit=20`, tagged('list', 'GET /notifications?userId'));
  } else {
    const id = `seed-correlation-${below(Math.floor(plan.seed_notifications / 10))}`;
    http.get(`${plan.base_url}/notifications?correlationId=${id}`, tagged('correlation', 'GET /notifications?correlationId'));
  }
}

export function handleSummary(data) {
  return { [plan.summary]: JSON.stringify(data) };
}
