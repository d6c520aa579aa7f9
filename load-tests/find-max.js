// Find-max: one rate; nsys decides which one is tried next.
export { default, options, setup, handleSummary } from './lib/level.js';
