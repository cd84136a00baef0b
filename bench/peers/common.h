/* Shared by the peers: arguments, a connection to a broker on loopback, the function, time. */
#ifndef PEERS_COMMON_H
#define PEERS_COMMON_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#define CHANNEL 1

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void check(amqp_connection_state_t connection, const char *what)
{
	if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
		fail(what);
}

/* Connects as guest to the virtual host "/" and opens one channel. */
static amqp_connection_state_t open_connection(int port)
{
	amqp_connection_state_t connection = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(connection);

	if (!socket || amqp_socket_open(socket, "127.0.0.1", port))
		fail("cannot connect");
	if (amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
		    .reply_type != AMQP_RESPONSE_NORMAL)
		fail("cannot log in");
	amqp_channel_open(connection, CHANNEL);
	check(connection, "cannot open a channel");
	return connection;
}

/* The request queue: transient and classic. */
static inline void declare(amqp_connection_state_t connection, const char *queue)
{
	amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue), 0, 0, 0, 0, amqp_empty_table);
	check(connection, "cannot declare the queue");
}

static inline uint64_t fibonacci(uint64_t n)
{
	uint64_t a = 0, b = 1;

	while (n-- > 0) {
		uint64_t sum = a + b;

		a = b;
		b = sum;
	}
	return a;
}

/* The body of a request as a number. */
static inline uint64_t parse(amqp_bytes_t body)
{
	char text[32];
	size_t length = body.len < sizeof text - 1 ? body.len : sizeof text - 1;

	memcpy(text, body.bytes, length);
	text[length] = 0;
	return strtoull(text, NULL, 10);
}

static inline double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Answers one request; the reply is published on the same channel. */
static inline void answer(amqp_connection_state_t connection, const amqp_message_t *request)
{
	char text[32];
	int length = snprintf(text, sizeof text, "%" PRIu64, fibonacci(parse(request->body)));
	amqp_bytes_t body = { .len = (size_t)length, .bytes = text };
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
		.correlation_id = request->properties.correlation_id,
	};

	if (amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes,
			       request->properties.reply_to, 0, 0, &properties, body))
		fail("cannot publish");
}

#endif
