//! Rules between settings, and files that must exist. The range of a single setting belongs to its
//! definition in `settings` and is checked in `fields`; nothing here changes a value.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::SpecError;
use super::resolve::Layers;
use super::settings::{
    Backbone, BlockKind, Feeding, Gan, Mode, Settings, TeacherLabels, TeacherSource,
};
use super::yaml::Place;

/// A broken rule: the settings to blame, the likeliest first, what is wrong, and a hint.
struct Broken {
    names: &'static [&'static str],
    message: String,
    hint: &'static str,
}

type Rule = fn(&Settings) -> Option<Broken>;

/// Every rule between settings.
const RULES: [Rule; 15] = [
    dilations,
    up_kernel,
    discriminator_sizes,
    critic,
    slim_blocks,
    perceptual,
    offline,
    appearance_code,
    drawn_people,
    decay_order,
    betas,
    erasing,
    teacher_needed,
    teacher_checkpoint,
    teacher_count,
];

/// Checks arm after arm and remembers which files it has seen.
#[derive(Default)]
pub(crate) struct Checker {
    found: BTreeSet<String>,
}

impl Checker {
    /// Refuses settings that cannot be run; `arm` is to blame where no line states them.
    pub fn check(
        &mut self,
        settings: &Settings,
        layers: &Layers<'_>,
        arm: &Place,
    ) -> Result<(), SpecError> {
        for rule in RULES {
            if let Some(broken) = rule(settings) {
                let at = layers.place(broken.names).unwrap_or(arm);
                return Err(at.error(broken.message).hint(broken.hint));
            }
        }
        let folder = [("data.path", &settings.data.path)];
        let files = [
            ("appearance.weights", &settings.appearance.weights),
            ("loss.perceptual_weights", &settings.loss.perceptual_weights),
            ("teacher.path", &settings.teacher.path),
            ("teacher.weights", &settings.teacher.weights),
        ];
        for (name, path) in folder {
            self.exists(name, path.as_deref(), true, layers, arm)?;
        }
        for (name, path) in files {
            self.exists(name, path.as_deref(), false, layers, arm)?;
        }
        Ok(())
    }

    fn exists(
        &mut self,
        name: &str,
        path: Option<&str>,
        folder: bool,
        layers: &Layers<'_>,
        arm: &Place,
    ) -> Result<(), SpecError> {
        let Some(path) = path else { return Ok(()) };
        if self.found.contains(path) {
            return Ok(());
        }
        let at = layers.place(&[name]).unwrap_or(arm);
        let why = match std::fs::metadata(Path::new(path)) {
            Ok(meta) if meta.is_dir() == folder => {
                self.found.insert(path.to_owned());
                return Ok(());
            }
            Ok(_) if folder => format!("`{path}` is not a folder"),
            Ok(_) => format!("`{path}` is a folder, expected a file"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                format!("`{path}` does not exist")
            }
            Err(error) => format!("cannot read `{path}`: {error}"),
        };
        let hint = if at.source.has_lines {
            "a relative path starts from the folder of the file that states it"
        } else {
            "a relative path starts from the working directory"
        };
        Err(at.error(format!("`{name}`: {why}")).hint(hint))
    }
}

/// What works but is probably not meant.
pub(crate) fn suspicion(settings: &Settings) -> Option<String> {
    let (loss, train) = (&settings.loss, &settings.train);
    let ramped = loss.lambda_prim + loss.lambda_fine + loss.lambda_code + loss.lambda_cycle;
    let never = train.mode == Mode::Joint && ramped > 0.0 && loss.ramp_start >= train.steps;
    never.then(|| {
        format!(
            "the ramped losses never enter: `loss.ramp_start` is {}, training ends at step {}",
            loss.ramp_start, train.steps
        )
    })
}

fn up_kernel(s: &Settings) -> Option<Broken> {
    let kernel = s.decoder.up_kernel;
    // the map after the first doubling is half as large as the photo
    let side = s.image.height.min(s.image.width) / 2;
    let fits = kernel % 2 == 1 && kernel / 2 < side;
    (!fits).then(|| Broken {
        names: &["decoder.up_kernel", "image.width", "image.height"],
        message: format!("`decoder.up_kernel`: {kernel} does not fit maps from {side} pixels on"),
        hint: "an odd number, at most twice the smaller side of the map",
    })
}

fn dilations(s: &Settings) -> Option<Broken> {
    let (height, width) = (s.image.height / 4, s.image.width / 4);
    let largest = s.structure.dilations.iter().copied().max()?;
    (largest >= height.min(width)).then(|| Broken {
        names: &["structure.dilations", "image.width", "image.height"],
        message: format!(
            "`structure.dilations`: {largest} does not fit a structure code of {height}x{width} (a quarter of `image`)"
        ),
        hint: "each dilation must be smaller than the code's height and width",
    })
}

fn critic(s: &Settings) -> Option<Broken> {
    let side = s.image.height.min(s.image.width);
    (s.discriminator.gan == Gan::Wgan && side < 16).then(|| Broken {
        names: &["discriminator.gan", "image.width", "image.height"],
        message: format!("`discriminator.gan: wgan`: a side of {side} pixels is too small"),
        hint: "the critic halves the photo again and again: use at least 16 pixels",
    })
}

fn slim_blocks(s: &Settings) -> Option<Broken> {
    // the code has 8 channels for each of `structure.width`, so halves are whole
    let height = s.image.height.min(s.image.width) / 4;
    (s.decoder.block != BlockKind::Basic && height < 2).then(|| Broken {
        names: &["decoder.block", "image.width", "image.height"],
        message: "`decoder.block`: instance norm needs a structure code of at least 2x2".to_owned(),
        hint: "use a larger `image`, or basic blocks",
    })
}

fn perceptual(s: &Settings) -> Option<Broken> {
    if s.loss.lambda_perceptual == 0.0 {
        return None;
    }
    let side = s.image.height.min(s.image.width);
    if s.loss.perceptual_weights.is_none() {
        return Some(Broken {
            names: &["loss.lambda_perceptual"],
            message: "`loss.lambda_perceptual` needs `loss.perceptual_weights`".to_owned(),
            hint: "a file with VGG-16's weights under torchvision's names",
        });
    }
    (side < 32).then(|| Broken {
        names: &["loss.lambda_perceptual", "image.width", "image.height"],
        message: format!("`loss.lambda_perceptual`: a side of {side} pixels is too small"),
        hint: "VGG halves the photo four times and its features are normalised: use at least 32 pixels",
    })
}

fn offline(s: &Settings) -> Option<Broken> {
    let offline = s.train.mode == Mode::Joint && s.train.feeding == Feeding::Offline;
    (offline && s.loss.lambda_prim == 0.0 && s.loss.lambda_fine == 0.0).then(|| Broken {
        names: &["train.feeding", "loss.lambda_prim", "loss.lambda_fine"],
        message: "`train.feeding: offline` with `lambda_prim` and `lambda_fine` 0 feeds nothing"
            .to_owned(),
        hint: "give one of them a weight, or use `train.mode: teacher_only` for a plain baseline",
    })
}

fn discriminator_sizes(s: &Settings) -> Option<Broken> {
    if s.discriminator.gan == Gan::Wgan {
        return None;
    }
    let side = s.image.height.min(s.image.width);
    let scales = s.discriminator.scales;
    // Pooling halves the photo between scales, two strides halve it within one; reflection needs 2 pixels.
    let smallest = (0..=scales).fold(side, |side, _| side.div_ceil(2));
    (smallest < 2).then(|| Broken {
        names: &["discriminator.scales", "image.width", "image.height"],
        message: format!(
            "`discriminator.scales`: a side of {side} pixels is too small for {scales} scales"
        ),
        hint: "each further scale halves the photo; use fewer scales or a larger `image`",
    })
}

fn appearance_code(s: &Settings) -> Option<Broken> {
    let stage = match s.appearance.backbone {
        Backbone::Resnet50 => 32,
        Backbone::Resnet10 | Backbone::Resnet18 | Backbone::Resnet34 => 8,
    };
    let length = u64::from(s.appearance.width) * stage * u64::from(s.appearance.parts);
    let blocks = s.decoder.residual_blocks;
    (length % u64::from(blocks) != 0).then(|| Broken {
        names: &[
            "decoder.residual_blocks",
            "appearance.parts",
            "appearance.width",
            "appearance.backbone",
        ],
        message: format!(
            "`decoder.residual_blocks`: the appearance code of {length} values cannot be cut into {blocks} equal chunks"
        ),
        hint: "its length is the channels of the last stage times `appearance.parts`",
    })
}

fn drawn_people(s: &Settings) -> Option<Broken> {
    let drawn = &s.data.drawn;
    if s.data.path.is_some() {
        return None;
    }
    if drawn.photos_min > drawn.photos_max {
        return Some(Broken {
            names: &["data.drawn.photos_min", "data.drawn.photos_max"],
            message: format!(
                "`data.drawn.photos_min`: {} is more than `photos_max`, {}",
                drawn.photos_min, drawn.photos_max
            ),
            hint: "",
        });
    }
    let test = (f64::from(drawn.ids) * drawn.test_share).round();
    let train = f64::from(drawn.ids) - test;
    (test < 2.0 || train < 2.0).then(|| Broken {
        names: &["data.drawn.test_share", "data.drawn.ids"],
        message: format!(
            "`data.drawn.test_share`: {} of {} identities leaves {train} for training and {test} for the test",
            drawn.test_share, drawn.ids
        ),
        hint: "both parts need at least 2",
    })
}

fn decay_order(s: &Settings) -> Option<Broken> {
    let sorted = s.train.decay_at.windows(2).all(|pair| pair[0] < pair[1]);
    (!sorted).then(|| Broken {
        names: &["train.decay_at"],
        message: "`train.decay_at`: the steps must rise".to_owned(),
        hint: "",
    })
}

fn betas(s: &Settings) -> Option<Broken> {
    s.train.betas.iter().any(|beta| *beta >= 1.0).then(|| Broken {
        names: &["train.betas"],
        message: format!("`train.betas`: both must be below 1, found {:?}", s.train.betas),
        hint: "",
    })
}

fn erasing(s: &Settings) -> Option<Broken> {
    let [low, high] = s.augment.erasing_area;
    if low > high || low <= 0.0 {
        return Some(Broken {
            names: &["augment.erasing_area"],
            message: format!(
                "`augment.erasing_area`: expected a smallest share above 0 and a largest, found {low} and {high}"
            ),
            hint: "",
        });
    }
    let [low, high] = s.augment.erasing_aspect;
    (low > high || low <= 0.0).then(|| Broken {
        names: &["augment.erasing_aspect"],
        message: format!(
            "`augment.erasing_aspect`: expected a smallest ratio above 0 and a largest, found {low} and {high}"
        ),
        hint: "",
    })
}

/// Whether the teacher's network is asked for labels, or is itself what is trained.
pub(crate) fn asks_teacher(s: &Settings) -> bool {
    let own = matches!(s.teacher.labels, TeacherLabels::Static | TeacherLabels::Uniform);
    s.train.mode == Mode::TeacherOnly || (s.loss.lambda_prim > 0.0 && !own)
}

fn teacher_needed(s: &Settings) -> Option<Broken> {
    if s.teacher.source != TeacherSource::None || !asks_teacher(s) {
        return None;
    }
    if s.train.mode == Mode::TeacherOnly {
        return Some(Broken {
            names: &["train.mode", "teacher.source"],
            message: "`train.mode: teacher_only` with `teacher.source: none` has nothing to train"
                .to_owned(),
            hint: "remove `teacher.source`, or train jointly",
        });
    }
    Some(Broken {
        names: &["teacher.source", "loss.lambda_prim", "teacher.labels"],
        message: format!(
            "`teacher.source: none`, but `loss.lambda_prim` is {} and asks the teacher for labels",
            s.loss.lambda_prim
        ),
        hint: "set `loss.lambda_prim: 0`, or `teacher.labels` to static or uniform",
    })
}

fn teacher_count(s: &Settings) -> Option<Broken> {
    let read = s.teacher.source == TeacherSource::Checkpoint;
    (read && s.teacher.count > 1).then(|| Broken {
        names: &["teacher.count", "teacher.source"],
        message: format!(
            "`teacher.count`: a checkpoint holds one teacher, not {}",
            s.teacher.count
        ),
        hint: "several teachers are trained: `teacher.source: train`",
    })
}

fn teacher_checkpoint(s: &Settings) -> Option<Broken> {
    (s.teacher.source == TeacherSource::Checkpoint && s.teacher.path.is_none()).then(|| Broken {
        names: &["teacher.source", "teacher.path"],
        message: "`teacher.source: checkpoint` needs `teacher.path`".to_owned(),
        hint: "for example `teacher.path: weights/teacher.safetensors`",
    })
}
