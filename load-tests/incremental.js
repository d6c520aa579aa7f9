// Incremental: level by level up to the breaking point; nsys runs this once for each level.
export { default, options, handleSummary } from './lib/level.js';
