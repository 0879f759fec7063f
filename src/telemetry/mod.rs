//! Placeholder of the room `telemetry`.
