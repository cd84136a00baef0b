/* One request in the way of the RPC tutorial's client: declares a reply queue, publishes, prints the reply.
 *
 * usage: client_once PORT QUEUE N
 */
#include "common.h"

int main(int argc, char **argv)
{
	if (argc != 4)
		fail("usage: client_once PORT QUEUE N");

	amqp_connection_state_t connection = open_connection(atoi(argv[1]));
	amqp_queue_declare_ok_t *queue = amqp_queue_declare(connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 0,
							    amqp_empty_table);

	check(connection, "no reply queue");

	amqp_bytes_t reply_to = amqp_bytes_malloc_dup(queue->queue);

	amqp_basic_consume(connection, CHANNEL, reply_to, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
	check(connection, "cannot consume");

	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG,
		.correlation_id = amqp_cstring_bytes("1"),
		.reply_to = reply_to,
	};
	amqp_envelope_t reply;

	if (amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(argv[2]), 0, 0,
			       &properties, amqp_cstring_bytes(argv[3])))
		fail("cannot publish");
	if (amqp_consume_message(connection, &reply, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
		fail("no reply");
	printf("%.*s\n", (int)reply.message.body.len, (char *)reply.message.body.bytes);
	amqp_destroy_envelope(&reply);
	amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(connection);
	return 0;
}
