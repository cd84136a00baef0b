// The alerts. Each names its entry in the journal catalog and its section of fibrpcd(8); tests/package holds this.
{
  local config = $._config,
  local selector = config.fibrpcSelector,
  local by = 'by (%s)' % std.join(', ', config.instanceLabels),

  // `id` is the MESSAGE_ID of the log event; `logged` is false if there is only an explanation in the catalog.
  local alert(name, expr, pending, severity, id, summary, description, logged=true) = {
    alert: name,
    expr: expr,
    [if pending != null then 'for']: pending,
    labels: { severity: severity },
    annotations: {
      summary: summary,
      description: description,
      runbook: 'fibrpcd(8), section ALERTS, %s; journalctl --dump-catalog %s' % [name, id]
               + (if logged then '; journalctl -u fibrpcd MESSAGE_ID=' + id else ''),
    },
  },

  // How often a counter grew in the window, per daemon. `increase` extrapolates and has fractions.
  local events(counter, window) = 'round(sum %s (increase(%s[%s])))' % [by, counter, window],

  prometheusAlerts+:: {
    groups+: [{
      name: 'fibrpc',
      rules: [
        alert(
          'FibrpcNotConsuming',
          'sum %(by)s (fibrpc_state{%(selector)s, state=~"consuming|blocked"}) == 0 or max %(by)s (up{%(selector)s}) == 0'
          % { by: by, selector: selector },
          config.notConsumingFor,
          'critical',
          '81c4371d87ee4cd3a51c9a678d581563',
          'fibrpcd at {{ $labels.instance }} does not consume requests.',
          'The daemon has no consumer on its queue, or cannot be scraped. Requests wait in the queue unless another daemon serves it.'
        ),
        alert(
          'FibrpcErrorRatio',
          |||
            sum %(by)s (rate(rpc_server_call_duration_seconds_count{%(selector)s, rpc_status_code=~"%(statuses)s"}[%(window)s]))
              / sum %(by)s (rate(rpc_server_call_duration_seconds_count{%(selector)s}[%(window)s]))
              > %(ratio)g
          ||| % {
            by: by,
            selector: selector,
            statuses: std.join('|', config.errorStatuses),
            window: config.errorRatioWindow,
            ratio: config.errorRatio,
          },
          config.errorRatioFor,
          'warning',
          '4cb57aac5a434892a0f55d02a2853eec',
          'fibrpcd at {{ $labels.instance }} fails {{ $value | humanizePercentage }} of its requests.',
          'More than %g %% of the replies have a status for which the server is responsible (%s).'
          % [config.errorRatio * 100, std.join(', ', config.errorStatuses)],
          logged=false
        ),
        alert(
          'FibrpcHighLatency',
          'histogram_quantile(0.99, sum by (%s, le) (rate(rpc_server_call_duration_seconds_bucket{%s}[%s]))) > %g'
          % [std.join(', ', config.instanceLabels), selector, config.latencyWindow, config.latencySeconds],
          config.latencyFor,
          'warning',
          '3643a430615d46a2bf277077f3366aef',
          'fibrpcd at {{ $labels.instance }} takes {{ $value | humanizeDuration }} for the slowest hundredth of its requests.',
          'The 99th percentile of the time from the delivery of a request to its reply is above %g s.' % config.latencySeconds,
          logged=false
        ),
        alert(
          'FibrpcPoolSaturated',
          |||
            sum %(by)s (fibrpc_pool_jobs{%(selector)s, state="running"}) >= sum %(by)s (fibrpc_pool_threads{%(selector)s})
              and sum %(by)s (fibrpc_pool_jobs{%(selector)s, state="waiting"}) > 0
          ||| % { by: by, selector: selector },
          config.poolSaturatedFor,
          'warning',
          'e48846ece1154a22a5d050edeb2bb8f9',
          'All {{ $value }} threads of the pool of fibrpcd at {{ $labels.instance }} are busy.',
          'All threads that compute expensive requests are busy, and further requests wait for them. Soon some will be refused with RESOURCE_EXHAUSTED.'
        ),
        alert(
          'FibrpcBlocked',
          'max %s (fibrpc_state{%s, state="blocked"}) == 1' % [by, selector],
          config.blockedFor,
          'critical',
          'd003cf74204b4c9b94d4b243c6f77b38',
          'The broker accepts no replies of fibrpcd at {{ $labels.instance }}.',
          'The broker is short of memory or disk space and blocks everyone who publishes. Callers get no replies.'
        ),
        alert(
          'FibrpcSessionsFailing',
          '%s > %d' % [events('fibrpc_session_failures_total{%s}' % selector, config.sessionFailuresWindow), config.sessionFailures],
          null,
          'warning',
          '81c4371d87ee4cd3a51c9a678d581563',
          'fibrpcd at {{ $labels.instance }} lost or could not open {{ $value }} sessions in %s.' % config.sessionFailuresWindow,
          'Attempts to connect to the broker fail, or connections are lost, more than %d times in %s.'
          % [config.sessionFailures, config.sessionFailuresWindow]
        ),
        alert(
          'FibrpcPoison',
          '%s > 0' % events('fibrpc_requests_settled_total{%s, how="poisoned"}' % selector, config.eventWindow),
          null,
          'warning',
          '679d5063a8e545e79a8b672ff463aa53',
          'fibrpcd at {{ $labels.instance }} rejected {{ $value }} requests that repeatedly ended its sessions.',
          'A request was in work each time when sessions failed, and was rejected without requeueing.'
        ),
        alert(
          'FibrpcDrainAbandoned',
          '%s > 0' % events('fibrpc_drain_abandoned_total{%s}' % selector, config.eventWindow),
          null,
          'warning',
          'ff41f04fff2540cfb9e49fb3eab94d6a',
          'fibrpcd at {{ $labels.instance }} stopped with {{ $value }} unfinished requests.',
          'The drain timeout passed, or a second signal arrived, before these requests were answered. The broker delivers them again.'
        ),
        alert(
          'FibrpcCertificateExpiry',
          'min by (%s, which) (fibrpc_certificate_expiry_timestamp_seconds{%s}) - time() < %d * 86400'
          % [std.join(', ', config.instanceLabels), selector, config.certificateDays],
          null,
          'warning',
          '63ba8dc65d754f9a8a2a1757e94045af',
          'A certificate ({{ $labels.which }}) that fibrpcd at {{ $labels.instance }} uses expires in {{ $value | humanizeDuration }}.',
          'A TLS certificate expires in less than %d days. Afterwards no connection can be opened.' % config.certificateDays
        ),
        alert(
          'FibrpcReloadRefused',
          '%s > 0' % events('fibrpc_reloads_total{%s, result="refused"}' % selector, config.eventWindow),
          null,
          'warning',
          'a87d35e58b6b4db297ac9b5bee837fc1',
          'fibrpcd at {{ $labels.instance }} refused a new configuration.',
          'The configuration was read again and has a problem. The daemon continues with the old one, but would not start with it.'
        ),
      ],
    }],
  },
}
