// What a site may change. Durations are those of Prometheus ('5m'), shares are from 0 to 1.
{
  _config+:: {
    // Selects the daemons. With several jobs: 'job=~"fibrpcd|reports"'.
    fibrpcSelector: 'job="fibrpcd"',
    // The labels that identify one daemon. Add those that your targets have, such as namespace.
    instanceLabels: ['job', 'instance'],

    // FibrpcNotConsuming
    notConsumingFor: '2m',

    // FibrpcErrorRatio: statuses that are faults of the server, and not of a request.
    errorStatuses: ['INTERNAL', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED'],
    errorRatio: 0.05,
    errorRatioWindow: '5m',
    errorRatioFor: '10m',

    // FibrpcHighLatency: the 99th percentile of the time from delivery to reply. The histogram has bounds at 0.25, 0.5, 1, 2.5,
    // 5 and 10 seconds; a limit between two bounds is less precise.
    latencySeconds: 1,
    latencyWindow: '5m',
    latencyFor: '10m',

    // FibrpcPoolSaturated
    poolSaturatedFor: '10m',

    // FibrpcBlocked
    blockedFor: '5m',

    // FibrpcSessionsFailing
    sessionFailures: 3,
    sessionFailuresWindow: '10m',

    // FibrpcPoison, FibrpcDrainAbandoned, FibrpcReloadRefused: how long an event is shown.
    eventWindow: '1h',

    // FibrpcCertificateExpiry
    certificateDays: 14,

    dashboardTitle: 'fibrpc',
    dashboardUid: 'fibrpc',
    dashboardTags: ['fibrpc', 'rabbitmq'],
    dashboardRefresh: '30s',
  },
}
