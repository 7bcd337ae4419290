/** Token of what counts flows inside the store. */
export const FLOW_STATISTICS = Symbol('FlowStatistics');
