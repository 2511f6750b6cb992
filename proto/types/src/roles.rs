//! Names of roles and their hierarchy.

/// A name that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role `{role}` {problem}")]
pub struct RoleError {
    role: String,
    problem: &'static str,
}

/// Longest name of a role, in bytes: what is counted for a role is counted for each role above it.
/// Ours; Apache Mesos has no limit.
const MAX_ROLE: usize = 1024;

/// Checks a role's name: `*`, or components with `/` between them.
///
/// # Errors
/// Which rule it breaks. Source: `roles::validate` of Apache Mesos 1.11.
pub fn validate_role(role: &str) -> Result<(), RoleError> {
    let refuse = |problem| {
        Err(RoleError {
            role: role.to_owned(),
            problem,
        })
    };
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return refuse("is empty");
    }
    if role.len() > MAX_ROLE {
        // The name itself is left out of the text.
        return Err(RoleError {
            role: "...".to_owned(),
            problem: "is longer than 1024 bytes",
        });
    }
    if role.starts_with('/') || role.ends_with('/') {
        return refuse("cannot start or end with a slash");
    }
    for component in role.split('/') {
        match component {
            "" => return refuse("cannot contain two adjacent slashes"),
            "." | ".." => return refuse("cannot have `.` or `..` as a component"),
            "*" => return refuse("cannot have `*` as a component"),
            _ if component.starts_with('-') => {
                return refuse("cannot have a component that starts with a dash");
            }
            _ if component
                .contains(|c: char| c.is_ascii_whitespace() || "\x0b\x08\x7f".contains(c)) =>
            {
                return refuse("cannot contain whitespace, backspace or DEL");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether `role` lies strictly below `ancestor`: `eng/prod` below `eng`.
pub fn is_subrole(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_roles_follow_mesos() {
        for good in ["*", "eng", "eng/prod", "a.b", "a-b", "é"] {
            assert_eq!(validate_role(good), Ok(()), "{good}");
        }
        for bad in [
            &"x".repeat(1025),
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "a/..",
            "*/a",
            "-a",
            "a/-b",
            "a b",
            "a\tb",
            "\x7f",
        ] {
            assert!(validate_role(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_subrole_lies_below_a_slash() {
        assert!(is_subrole("eng/prod", "eng"));
        assert!(!is_subrole("eng", "eng"));
        assert!(!is_subrole("engineering", "eng"));
    }
}
