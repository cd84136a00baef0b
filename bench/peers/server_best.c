/* The best server that librabbitmq allows: prefetch 100, publisher confirms, acks only after the confirm, many requests
 * at once.
 *
 * On one channel the n-th publish is the reply to the n-th delivery, so a confirm of number n allows the ack of tag n. The
 * longest run of confirmed numbers is acked with one frame, once there is nothing left to read.
 *
 * usage: server_best PORT QUEUE
 */
#include "common.h"

#define PREFETCH 100
#define WINDOW 256 /* more than can be in flight */

static unsigned char confirmed[WINDOW];
static uint64_t next_unconfirmed = 1, acked;

static void settle(uint64_t tag, int multiple)
{
	for (uint64_t one = multiple ? next_unconfirmed : tag; one <= tag; one++)
		confirmed[one % WINDOW] = 1;
	while (confirmed[next_unconfirmed % WINDOW])
		confirmed[next_unconfirmed++ % WINDOW] = 0;
}

static void ack(amqp_connection_state_t connection)
{
	if (next_unconfirmed - 1 > acked) {
		acked = next_unconfirmed - 1;
		if (amqp_basic_ack(connection, CHANNEL, acked, 1))
			fail("cannot ack");
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		fail("usage: server_best PORT QUEUE");

	amqp_connection_state_t connection = open_connection(atoi(argv[1]));

	amqp_confirm_select(connection, CHANNEL);
	check(connection, "no confirms");
	declare(connection, argv[2]);
	amqp_basic_qos(connection, CHANNEL, 0, PREFETCH, 0);
	amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(argv[2]), amqp_empty_bytes, 0, 0, 0,
			   amqp_empty_table);
	check(connection, "cannot consume");
	for (;;) {
		amqp_frame_t frame;

		if (!amqp_frames_enqueued(connection) && !amqp_data_in_buffer(connection)) {
			ack(connection);
			amqp_maybe_release_buffers(connection);
		}
		if (amqp_simple_wait_frame(connection, &frame))
			fail("the connection ended");
		if (frame.frame_type != AMQP_FRAME_METHOD)
			continue;
		if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
			amqp_message_t request;

			if (amqp_read_message(connection, CHANNEL, &request, 0).reply_type !=
			    AMQP_RESPONSE_NORMAL)
				fail("cannot read a message");
			answer(connection, &request);
			amqp_destroy_message(&request);
		} else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
			amqp_basic_ack_t *confirm = frame.payload.method.decoded;

			settle(confirm->delivery_tag, confirm->multiple);
		} else {
			fail("the broker closed the channel");
		}
	}
}
