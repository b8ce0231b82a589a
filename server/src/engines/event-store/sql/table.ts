/** Names of what the event store keeps in ClickHouse. Statements always use full names. */

export const DATABASE = "tallystick";
export const EVENTS_TABLE = `${DATABASE}.events`;
export const SCHEMA_VERSIONS_TABLE = `${DATABASE}.schema_versions`;
export const ROLL_UPS_TABLE = `${DATABASE}.roll_ups`;
