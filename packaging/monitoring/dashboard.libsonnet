// The dashboard. Its panels are numbered in the order of the list below, two per row.
{
  local config = $._config,
  local selector = config.fibrpcSelector + ', instance=~"$instance"',
  local datasource = { type: 'prometheus', uid: '${datasource}' },

  // A query: its expression, in which %s stands for the selector, and the name of its series.
  local query(expr, legend) = { expr: std.strReplace(expr, '%s', selector), legendFormat: legend },

  local panel(title, description, unit, queries) = {
    title: title,
    description: description,
    type: 'timeseries',
    datasource: datasource,
    targets: [
      queries[index] { refId: std.char(65 + index), datasource: datasource }
      for index in std.range(0, std.length(queries) - 1)
    ],
    fieldConfig: {
      defaults: {
        unit: unit,
        min: 0,
        custom: { fillOpacity: 10, showPoints: 'never' },
      },
      overrides: [],
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  },

  // Another unit and the right axis for one query.
  local onTheRight(index, unit) = {
    fieldConfig+: {
      overrides+: [{
        matcher: { id: 'byFrameRefID', options: std.char(65 + index) },
        properties: [
          { id: 'unit', value: unit },
          { id: 'custom.axisPlacement', value: 'right' },
        ],
      }],
    },
  },

  local threshold(value, colour) = {
    fieldConfig+: {
      defaults+: {
        custom+: { thresholdsStyle: { mode: 'line' } },
        thresholds: { mode: 'absolute', steps: [{ color: 'transparent', value: null }, { color: colour, value: value }] },
      },
    },
  },

  // State, its number in the timeline, and its colour.
  local states = [
    ['starting', 'blue'],
    ['connecting', 'orange'],
    ['waiting', 'red'],
    ['consuming', 'green'],
    ['blocked', 'dark-red'],
    ['draining', 'purple'],
    ['stopped', 'semi-dark-blue'],
  ],

  local timeline = {
    type: 'state-timeline',
    fieldConfig: {
      defaults: {
        custom: { fillOpacity: 70, lineWidth: 0 },
        mappings: [{
          type: 'value',
          options: {
            [std.toString(index)]: { text: states[index][0], color: states[index][1], index: index }
            for index in std.range(0, std.length(states) - 1)
          },
        }],
      },
      overrides: [],
    },
    options: {
      mergeValues: true,
      showValue: 'auto',
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
    },
  },

  local instances = 'label_values(fibrpc_build_info{%s}, instance)' % config.fibrpcSelector,

  local panels = [
    panel(
      'Requests by status',
      'Answered requests per second.',
      'reqps',
      [query('sum by (rpc_status_code) (rate(rpc_server_call_duration_seconds_count{%s}[$__rate_interval]))', '{{rpc_status_code}}')]
    ),
    panel(
      'Error ratio',
      'Share of replies with a status for which the server is responsible: %s.' % std.join(', ', config.errorStatuses),
      'percentunit',
      // Without an error there may be no series of errors.
      [query(
        '(sum by (instance) (rate(rpc_server_call_duration_seconds_count{%s, rpc_status_code=~"' + std.join('|', config.errorStatuses)
        + '"}[$__rate_interval])) or 0 * sum by (instance) (rate(rpc_server_call_duration_seconds_count{%s}[$__rate_interval])))'
        + ' / sum by (instance) (rate(rpc_server_call_duration_seconds_count{%s}[$__rate_interval]))',
        '{{instance}}'
      )]
    ) + threshold(config.errorRatio, 'red'),
    panel(
      'Latency and queue wait',
      'Percentiles of the time from the delivery of a request to its reply, and of the time that requests waited in the queue before, according to the clock of the caller or of the broker.',
      's',
      [
        query('histogram_quantile(0.' + percent + ', sum by (le) (rate(rpc_server_call_duration_seconds_bucket{%s}[$__rate_interval])))', 'p' + percent)
        for percent in ['50', '90', '99']
      ] + [
        query('histogram_quantile(0.99, sum by (le, source) (rate(fibrpc_queue_wait_seconds_bucket{%s}[$__rate_interval])))', 'queue wait p99 ({{source}})'),
      ]
    ) + threshold(config.latencySeconds, 'red'),
    panel(
      'Compute time',
      'Percentiles of the computing time: inline on the session task, or on the thread pool.',
      's',
      [
        query('histogram_quantile(0.5, sum by (le, where) (rate(fibrpc_compute_seconds_bucket{%s}[$__rate_interval])))', 'p50 {{where}}'),
        query('histogram_quantile(0.99, sum by (le, where) (rate(fibrpc_compute_seconds_bucket{%s}[$__rate_interval])))', 'p99 {{where}}'),
      ]
    ),
    panel(
      'In flight and prefetch',
      'Requests that were delivered and are not settled, and how many the broker may deliver.',
      'short',
      [
        query('sum by (instance) (fibrpc_requests_in_flight{%s})', 'in flight {{instance}}'),
        query('sum by (instance) (fibrpc_prefetch{%s})', 'prefetch {{instance}}'),
      ]
    ),
    panel(
      'Thread pool',
      'Expensive computations that run and that wait, the threads for them, and the estimated wait of a new one.',
      'short',
      [
        query('sum by (instance, state) (fibrpc_pool_jobs{%s})', '{{state}} {{instance}}'),
        query('sum by (instance) (fibrpc_pool_threads{%s})', 'threads {{instance}}'),
        query('max by (instance) (fibrpc_pool_wait_seconds{%s})', 'wait {{instance}}'),
      ]
    ) + onTheRight(2, 's'),
    panel(
      'State',
      'What each daemon does.',
      'short',
      [query(
        'sum by (instance) (' + std.join(' or ', [
          'fibrpc_state{%s, state="' + states[index][0] + '"} * ' + index
          for index in std.range(0, std.length(states) - 1)
        ]) + ')',
        '{{instance}}'
      )]
    ) + timeline,
    panel(
      'Sessions and failures',
      'Sessions that were opened, and failures by cause.',
      'short',
      [
        query('sum by (instance) (increase(fibrpc_sessions_total{%s}[$__rate_interval]))', 'opened {{instance}}'),
        query('sum by (cause) (increase(fibrpc_session_failures_total{%s}[$__rate_interval]))', 'failed: {{cause}}'),
      ]
    ),
    panel(
      'Replies by result',
      'Replies per second that the broker confirmed, returned because the caller had gone, or refused, and that were sent again.',
      'reqps',
      [query('sum by (result) (rate(fibrpc_replies_total{%s}[$__rate_interval]))', '{{result}}')]
    ),
    panel(
      'Blocked by the broker',
      'Share of the time during which the broker accepted no replies.',
      'percentunit',
      [query('sum by (instance) (rate(fibrpc_broker_blocked_seconds_total{%s}[$__rate_interval]))', '{{instance}}')]
    ),
    panel(
      'Redelivered requests',
      'Requests per second that had been delivered before, to this daemon or another.',
      'reqps',
      [query('sum by (instance) (rate(fibrpc_requests_received_total{%s, redelivered="true"}[$__rate_interval]))', '{{instance}}')]
    ),
    panel(
      'Isolation and poison',
      'Isolation: how many requests are still taken one at a time, to find one that ends sessions. Strikes: sessions that ended with a suspect. Rejected: requests that ended too many.',
      'short',
      [
        query('max by (instance) (fibrpc_isolation{%s})', 'isolation {{instance}}'),
        query('sum by (instance) (increase(fibrpc_poison_strikes_total{%s}[$__rate_interval]))', 'strikes {{instance}}'),
        query('sum by (instance) (increase(fibrpc_requests_settled_total{%s, how="poisoned"}[$__rate_interval]))', 'rejected {{instance}}'),
      ]
    ),
    panel(
      'Certificates',
      'Days until each TLS certificate in use expires.',
      'd',
      [query('(min by (instance, which) (fibrpc_certificate_expiry_timestamp_seconds{%s}) - time()) / 86400', '{{which}} {{instance}}')]
    ) + threshold(config.certificateDays, 'red'),
    panel(
      'Processor time and memory',
      'Processors in use, and resident memory.',
      'short',
      [
        query('sum by (instance) (rate(process_cpu_seconds_total{%s}[$__rate_interval]))', 'processors {{instance}}'),
        query('sum by (instance) (process_resident_memory_bytes{%s})', 'memory {{instance}}'),
      ]
    ) + onTheRight(1, 'bytes'),
  ],

  grafanaDashboards+:: {
    'fibrpc.json': {
      title: config.dashboardTitle,
      uid: config.dashboardUid,
      tags: config.dashboardTags,
      refresh: config.dashboardRefresh,
      schemaVersion: 36,
      editable: true,
      graphTooltip: 1,
      time: { from: 'now-1h', to: 'now' },
      timezone: '',
      templating: {
        list: [
          {
            name: 'datasource',
            label: 'Data source',
            type: 'datasource',
            query: 'prometheus',
          },
          {
            name: 'instance',
            label: 'Instance',
            type: 'query',
            datasource: datasource,
            definition: instances,
            query: { query: instances, refId: 'instance' },
            refresh: 2,
            sort: 1,
            multi: true,
            includeAll: true,
            allValue: '.*',
            current: { text: 'All', value: '$__all' },
          },
        ],
      },
      panels: [
        panels[index] {
          id: index + 1,
          gridPos: { h: 8, w: 12, x: 12 * (index % 2), y: 8 * std.floor(index / 2) },
        }
        for index in std.range(0, std.length(panels) - 1)
      ],
    },
  },
}
