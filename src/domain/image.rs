//! Images of ours by their tags: whether they are of this version.

/// What is wrong with an image of ours whose tag is another version, and what to do. A tag that is no version
/// (a commit, `latest`, a digest) tells nothing.
#[must_use]
pub fn difference(key: &str, image: &str, own: &str) -> Option<String> {
    let (name, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    if name.contains('@') || !is_version(tag) || tag == own {
        return None;
    }
    Some(format!(
        "{image} is not of this nsys, which is {own}: set {key} = \"{name}:{own}\" in config.toml and run nsys up again"
    ))
}

fn is_version(tag: &str) -> bool {
    let mut parts = tag.splitn(3, '.');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (major, minor) = (parts.next(), parts.next());
    let patch = parts.next().map(|patch| patch.split(['-', '+']).next().unwrap_or_default());
    number(major) && number(minor) && number(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_version_is_named_with_the_key_to_set() {
        let told = difference("docker.nsys_image", "nsys:0.1.0", "0.2.0").unwrap();
        assert!(told.contains("docker.nsys_image = \"nsys:0.2.0\"") && told.contains("nsys up"), "{told}");
        let told =
            difference("docker.nsys_image", "registry.example:5000/a/nsys:1.0.0-rc.1", "1.0.0").unwrap();
        assert!(told.contains("\"registry.example:5000/a/nsys:1.0.0\""), "{told}");
    }

    #[test]
    fn a_tag_that_is_no_version_or_this_one_is_left_alone() {
        for image in [
            "nsys:0.2.0",
            "nsys",
            "nsys:latest",
            "nsys:3f2a1b9",
            "nsys:1.2",
            "registry.example:5000/nsys",
            "nsys@sha256:0123",
            "nsys:0.1.0@sha256:0123",
        ] {
            assert_eq!(difference("docker.nsys_image", image, "0.2.0"), None, "{image}");
        }
    }
}
