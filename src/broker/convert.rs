//! Between AMQP's properties and ours.
