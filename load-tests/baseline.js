// Baseline: moderate load, to compare with.
export { default, options, setup, handleSummary } from './lib/level.js';
