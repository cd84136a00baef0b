/* Load generator: keeps IN_FLIGHT requests in flight over direct reply-to until REQUESTS are answered, checks every reply,
 * and prints requests per second, and the median and 99th percentile of the round trip in microseconds.
 *
 * usage: generator PORT QUEUE BODY IN_FLIGHT REQUESTS SECONDS [REPLY]     (ends at whichever comes first)
 *
 * Body and reply are JSON if the reply is given; else the body is n, and the reply its Fibonacci number.
 */
#include "common.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 7 && argc != 8)
		fail("usage: generator PORT QUEUE BODY IN_FLIGHT REQUESTS SECONDS [REPLY]");

	const char *queue = argv[2], *body = argv[3];
	size_t in_flight = strtoul(argv[4], NULL, 10), requests = strtoul(argv[5], NULL, 10);
	double limit = atof(argv[6]);
	amqp_bytes_t reply_to = amqp_cstring_bytes("amq.rabbitmq.reply-to");
	amqp_connection_state_t connection = open_connection(atoi(argv[1]));
	double *sent = calloc(requests, sizeof *sent), *took = calloc(requests, sizeof *took);
	char number[32];
	const char *expected = argc == 8 ? argv[7] : number;
	size_t asked = 0, answered = 0;

	if (expected == number)
		snprintf(number, sizeof number, "%" PRIu64, fibonacci(strtoull(body, NULL, 10)));

	size_t length = strlen(expected);

	if (!sent || !took || requests == 0)
		fail("no requests");
	amqp_basic_consume(connection, CHANNEL, reply_to, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
	check(connection, "cannot consume");

	double start = now();

	while (answered < requests) {
		while (asked < requests && asked - answered < in_flight && now() - start < limit) {
			char id[24];

			snprintf(id, sizeof id, "%zu", asked);
			amqp_basic_properties_t properties = {
				._flags = AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG,
				.correlation_id = amqp_cstring_bytes(id),
				.reply_to = reply_to,
			};

			if (argc == 8) {
				properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
				properties.content_type = amqp_cstring_bytes("application/json");
			}
			sent[asked++] = now();
			if (amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes,
					       amqp_cstring_bytes(queue), 0, 0, &properties,
					       amqp_cstring_bytes(body)))
				fail("cannot publish");
		}
		if (asked == answered)
			break;

		amqp_envelope_t reply;
		struct timeval patience = { .tv_sec = 10 };

		amqp_maybe_release_buffers(connection);
		if (amqp_consume_message(connection, &reply, &patience, 0).reply_type != AMQP_RESPONSE_NORMAL)
			fail("no reply");

		uint64_t id = parse(reply.message.properties.correlation_id);

		if (id >= asked || reply.message.body.len != length ||
		    memcmp(reply.message.body.bytes, expected, length) != 0)
			fail("a wrong reply");
		took[answered++] = now() - sent[id];
		amqp_destroy_envelope(&reply);
	}

	double seconds = now() - start;

	qsort(took, answered, sizeof *took, ascending);
	printf("%.0f %.0f %.0f %zu\n", (double)answered / seconds, took[answered / 2] * 1e6,
	       took[answered * 99 / 100] * 1e6, answered);
	amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(connection);
	return 0;
}
