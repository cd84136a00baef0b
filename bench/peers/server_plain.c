/* A server in the way of the RPC tutorial: one request at a time, no confirms, one ack per request.
 *
 * usage: server_plain PORT QUEUE
 */
#include "common.h"

int main(int argc, char **argv)
{
	if (argc != 3)
		fail("usage: server_plain PORT QUEUE");

	amqp_connection_state_t connection = open_connection(atoi(argv[1]));

	declare(connection, argv[2]);
	amqp_basic_qos(connection, CHANNEL, 0, 1, 0);
	amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(argv[2]), amqp_empty_bytes, 0, 0, 0,
			   amqp_empty_table);
	check(connection, "cannot consume");
	for (;;) {
		amqp_envelope_t request;

		amqp_maybe_release_buffers(connection);
		if (amqp_consume_message(connection, &request, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
			fail("the connection ended");
		answer(connection, &request.message);
		amqp_basic_ack(connection, CHANNEL, request.delivery_tag, 0);
		amqp_destroy_envelope(&request);
	}
}
