//! Refused when slow or big: deadlines and limits, each with its status and its metric.
