//! The authorization seam: every handler asks here before it shows or changes anything.

use mesos_wire::v1;

/// What a principal wants to do. Names follow the actions of Mesos's ACLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the ACL of the same name")]
pub enum Action {
    RegisterFramework,
    RunTask,
    TeardownFramework,
    ReserveResources,
    UnreserveResources,
    CreateVolume,
    ResizeVolume,
    DestroyVolume,
    GetQuota,
    UpdateQuota,
    UpdateWeight,
    ViewRole,
    GetEndpoint,
    ViewFramework,
    ViewTask,
    ViewExecutor,
    AccessSandbox,
    AccessMesosLog,
    ViewFlags,
    SetLogLevel,
    RegisterAgent,
    UpdateMaintenanceSchedule,
    GetMaintenanceSchedule,
    StartMaintenance,
    StopMaintenance,
    GetMaintenanceStatus,
    DrainAgent,
    DeactivateAgent,
    ReactivateAgent,
    MarkAgentGone,
    ViewContainer,
    LaunchNestedContainer,
    LaunchNestedContainerSession,
    KillNestedContainer,
    WaitNestedContainer,
    RemoveNestedContainer,
    AttachContainerInput,
    AttachContainerOutput,
    LaunchStandaloneContainer,
    KillStandaloneContainer,
    WaitStandaloneContainer,
    RemoveStandaloneContainer,
    ViewStandaloneContainer,
    ViewResourceProvider,
    ModifyResourceProviderConfig,
    MarkResourceProviderGone,
    PruneImages,
}

/// What the action is done to.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Object<'a> {
    /// The action has no object, or is about all of them.
    Any,
    /// A plain name: a role, a user, a principal or an endpoint path, as the action has it.
    Named(&'a str),
    /// A framework.
    Framework(&'a v1::FrameworkInfo),
    /// A task of a framework.
    Task(&'a v1::Task, &'a v1::FrameworkInfo),
    /// A task that a framework wants to run.
    TaskInfo(&'a v1::TaskInfo, &'a v1::FrameworkInfo),
    /// An executor of a framework.
    Executor(&'a v1::ExecutorInfo, &'a v1::FrameworkInfo),
}

/// Decides. Must answer from memory: handlers call it once per object they show.
pub trait Authorizer: Send + Sync {
    /// Whether `principal` (`None`: not authenticated) may do `action` to `object`.
    fn authorize(&self, principal: Option<&str>, action: Action, object: Object<'_>) -> bool;
}

/// No ACLs are set, so everything is allowed, as in Mesos.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn authorize(&self, _: Option<&str>, _: Action, _: Object<'_>) -> bool {
        true
    }
}
