// The files that are committed beside this one: jsonnet --string --multi . render.jsonnet
// With other settings: --tla-code 'config={ latencySeconds: 0.25 }'
function(config={})
  local mixin = (import 'mixin.libsonnet') + { _config+:: config };
  {
    'alerts.yaml': '# Rendered from mixin.libsonnet.\n' + std.manifestYamlDoc(mixin.prometheusAlerts),
    'dashboard.json': std.manifestJsonEx(mixin.grafanaDashboards['fibrpc.json'], '  '),
  }
