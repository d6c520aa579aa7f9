// Stress: beyond the breaking point.
export { default, options, setup, handleSummary } from './lib/level.js';
