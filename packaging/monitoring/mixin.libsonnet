// The monitoring mixin of fibrpcd: one Grafana dashboard and the alerts of Prometheus. See README.md.
(import 'config.libsonnet') +
(import 'alerts.libsonnet') +
(import 'dashboard.libsonnet')
