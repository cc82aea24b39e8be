"""The estimator and its parts, in the order of one image's way through them.

===============  ====================================================================
`detector`       base class of all methods: `fit`, `anomaly_score`, `predict`, …
`estimator`      `PatchCore`
`config`         parameters of one fit, stored in the model
`features`       images → patch features (equations 1 to 3)
`bank`           memory bank ℳ of all patches (equation 4)
`whitening`      a linear map of patch features, if asked
`selection`      coreset ℳ_C (equation 5)
`search`         nearest rows, score and anomaly map (equations 6 and 7)
`training`       checks of the training images: copies, different sizes
`leave_one_out`  scores of the good images, each without its own rows
`threshold`      the score above which an image is called anomalous, and p-values
`update`         learns more good images
`ensemble`       several models as one
`trace`          every intermediate result for one image
`saved`          model files
===============  ====================================================================
"""
