//! What reaches the state machine, and what it wants done.
use std::collections::BTreeSet;

use mesos_control::v1::{Hello, Snapshot as AgentSnapshot, agent_message, master_message};
use mesos_types::FrameworkId;
use mesos_wire::v1::{self, scheduler};

use crate::registry::Change as RegistryChange;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// Nothing but the passing of time: timers that are due fire with every event.
    Tick,
    /// A SUBSCRIBE that is valid in itself. `stream` is open and nothing was written to it yet.
    Subscribe {
        /// To answer with [`Reply::Stream`].
        request: u64,
        /// Never used before.
        stream: u64,
        /// What `Mesos-Stream-Id` will be.
        stream_id: String,
        /// The call.
        subscribe: Box<scheduler::call::Subscribe>,
        /// Who sent it, when authenticated.
        principal: Option<String>,
    },
    /// Any other scheduler call that is valid in itself.
    Call {
        /// To answer.
        request: u64,
        /// The header `Mesos-Stream-Id`.
        stream_id: Option<String>,
        /// Who sent it, when authenticated.
        principal: Option<String>,
        /// The call.
        call: Box<scheduler::Call>,
    },
    /// A stream's client is gone, or reads too slowly.
    StreamClosed {
        /// Which.
        stream: u64,
    },
    /// An operator ends a framework.
    Teardown {
        /// To answer.
        request: u64,
        /// Which.
        framework_id: FrameworkId,
    },
    /// An operator's call that changes something, valid in itself. TEARDOWN has its own event.
    Operator {
        /// To answer.
        request: u64,
        /// Who sent it, when authenticated.
        principal: Option<String>,
        /// The call; the older endpoints are turned into calls too.
        call: Box<mesos_wire::v1::master::Call>,
    },
    /// An agent opened a session and said who it is.
    Hello(Box<AgentHello>),
    /// An agent said something in a session that was welcomed.
    Agent {
        /// In which session.
        session: u64,
        /// What.
        body: Box<agent_message::Body>,
    },
    /// A session ended, from whichever side.
    SessionClosed {
        /// Which.
        session: u64,
    },
    /// Only agents with these host names are offered.
    Whitelist(BTreeSet<String>),
    /// The registry holds what [`Effect::Registry`] asked for.
    Registered {
        /// Which change.
        token: u64,
    },
}

/// An agent at the door.
#[derive(Debug, Clone)]
pub struct AgentHello {
    /// Its session; never used before.
    pub session: u64,
    /// Where it speaks from, without a port.
    pub peer: String,
    /// Who it says it is.
    pub hello: Hello,
    /// What it holds, when it was an agent before.
    pub snapshot: Option<AgentSnapshot>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 202: queued for processing.
    Accepted,
    /// 200 without a body.
    Ok,
    /// 200 with the stream.
    Stream,
    /// 400 with this text.
    BadRequest(String),
    /// 403 with this text.
    Forbidden(String),
    /// 404 with this text.
    NotFound(String),
    /// 409 with this text.
    Conflict(String),
    /// 503 with this text: it may be tried again.
    Unavailable(String),
    /// 501: the call's type is UNKNOWN.
    NotImplemented,
}

/// Something to be done, in the order given.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request. Done after the new state is published.
    Reply {
        /// Which.
        request: u64,
        /// How.
        reply: Reply,
    },
    /// Write an event to a framework's stream.
    Event {
        /// Which stream.
        stream: u64,
        /// The event.
        event: Box<scheduler::Event>,
    },
    /// End a stream once everything written to it is delivered.
    CloseStream {
        /// Which.
        stream: u64,
    },
    /// Send a message to an agent.
    Message {
        /// In which session.
        session: u64,
        /// What.
        body: Box<master_message::Body>,
    },
    /// End a session once everything sent in it is delivered.
    CloseSession {
        /// Which.
        session: u64,
    },
    /// End this master: it would do harm if it went on.
    Abort(String),
    /// Write to the registry, then come back with [`Event::Registered`].
    Registry {
        /// Which change.
        token: u64,
        /// What to write.
        change: RegistryChange,
    },
}

/// Builds the events of the scheduler API.
pub(crate) mod events {
    use super::{scheduler, v1};
    use scheduler::{Event, event::Type};

    fn of(kind: Type) -> Event {
        let mut event = Event::default();
        event.set_type(kind);
        event
    }

    pub(crate) fn heartbeat() -> Event {
        of(Type::Heartbeat)
    }

    pub(crate) fn subscribed(
        framework_id: v1::FrameworkId,
        interval: f64,
        master: v1::MasterInfo,
    ) -> Event {
        let subscribed = scheduler::event::Subscribed {
            framework_id,
            heartbeat_interval_seconds: Some(interval),
            master_info: Some(master),
        };
        Event {
            subscribed: Some(subscribed),
            ..of(Type::Subscribed)
        }
    }

    pub(crate) fn offers(offers: Vec<v1::Offer>) -> Event {
        Event {
            offers: Some(scheduler::event::Offers { offers }),
            ..of(Type::Offers)
        }
    }

    pub(crate) fn rescind(offer_id: v1::OfferId) -> Event {
        Event {
            rescind: Some(scheduler::event::Rescind { offer_id }),
            ..of(Type::Rescind)
        }
    }

    pub(crate) fn inverse_offers(inverse_offers: Vec<v1::InverseOffer>) -> Event {
        Event {
            inverse_offers: Some(scheduler::event::InverseOffers { inverse_offers }),
            ..of(Type::InverseOffers)
        }
    }

    pub(crate) fn rescind_inverse_offer(inverse_offer_id: v1::OfferId) -> Event {
        let rescind = scheduler::event::RescindInverseOffer { inverse_offer_id };
        Event {
            rescind_inverse_offer: Some(rescind),
            ..of(Type::RescindInverseOffer)
        }
    }

    pub(crate) fn update(status: v1::TaskStatus) -> Event {
        Event {
            update: Some(scheduler::event::Update { status }),
            ..of(Type::Update)
        }
    }

    pub(crate) fn operation_update(status: v1::OperationStatus) -> Event {
        let update = scheduler::event::UpdateOperationStatus { status };
        Event {
            update_operation_status: Some(update),
            ..of(Type::UpdateOperationStatus)
        }
    }

    pub(crate) fn message(
        agent_id: v1::AgentId,
        executor_id: v1::ExecutorId,
        data: Vec<u8>,
    ) -> Event {
        let message = scheduler::event::Message {
            agent_id,
            executor_id,
            data,
        };
        Event {
            message: Some(message),
            ..of(Type::Message)
        }
    }

    pub(crate) fn failure(
        agent_id: v1::AgentId,
        executor_id: Option<v1::ExecutorId>,
        status: Option<i32>,
    ) -> Event {
        let failure = scheduler::event::Failure {
            agent_id: Some(agent_id),
            executor_id,
            status,
        };
        Event {
            failure: Some(failure),
            ..of(Type::Failure)
        }
    }

    pub(crate) fn error(message: impl Into<String>) -> Event {
        Event {
            error: Some(scheduler::event::Error {
                message: message.into(),
            }),
            ..of(Type::Error)
        }
    }
}
