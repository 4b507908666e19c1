//! Alibaba Cloud's API: commands on instances (ECS), executions of templates (OOS).
//!
//! ```text
//! acs3: the signature
//!     -> client: one call, sent to its endpoint as often as its answer says
//!         -> ecs: RunCommand, DescribeInvocationResults, StopInvocation, DescribeInstances
//!         -> oos: templates and executions
//!             -> bundle: what an execution gives back
//! targets: which instances, in OOS's own words
//! error: what was refused, and what to try
//! ```
//!
//! What a call did is unknown if its answer is lost. So whatever starts something carries a token
//! by which the cloud knows it again, and is repeated with the same one.

mod acs3;
mod answer;
mod bundle;
mod client;
mod ecs;
mod endpoint;
mod error;
mod oos;
mod targets;

pub use client::{Api, ApiOptions, client_token};
pub use ecs::{Instance, Invocation, MAX_COMMAND_BYTES, MAX_OUTPUT_BYTES, RunCommand, State};
pub use error::ApiError;
pub use oos::{Change, Counters, Execution, MAX_TEMPLATE_BYTES, Task, TaskExecution, TemplateInfo};
pub use targets::Targets;
