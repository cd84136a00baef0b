//! A filter over the byte stream against messages that the AMQP library cannot decode.
